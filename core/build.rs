//! Says which kernel there can be: the compiler does not tell stable code of a Cortex-M's DSP instructions.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(sealnet_dsp)");
    // Cortex-M4 and M7 have them. Of the M33 only some have: who builds for one of those says so with
    // `--cfg sealnet_dsp`.
    if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv7em-")) {
        println!("cargo:rustc-cfg=sealnet_dsp");
    }
}
