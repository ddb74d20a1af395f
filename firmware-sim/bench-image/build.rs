//! Linker script: code and RAM as the device has them.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo gives OUT_DIR")?);
    fs::write(
        out.join("memory.x"),
        "MEMORY {\n  FLASH : ORIGIN = 0, LENGTH = 256K\n  RAM : ORIGIN = 0x20000000, LENGTH = 128K\n}\n",
    )?;
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--icf=all", "--nmagic", "-Tlink.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
