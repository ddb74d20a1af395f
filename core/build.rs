//! Says which kernel there can be: the compiler does not tell stable code of a Cortex-M's DSP instructions.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(sealnet_dsp, sealnet_v8m)");
    // Cortex-M4 and M7 have them. Of the cores of thumbv8m.main only some have, such as most M33: who builds for one of those
    // says so with `-Ctarget-cpu=cortex-m33 --cfg=sealnet_dsp`.
    let target = env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv7em-") {
        println!("cargo:rustc-cfg=sealnet_dsp");
    }
    if target.starts_with("thumbv8m.main-") {
        println!("cargo:rustc-cfg=sealnet_v8m");
    }
}
