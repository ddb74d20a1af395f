//! Linker script of the chosen board.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    // Code, model slots with identity and journal, RAM: the same lengths on every board.
    let (code, storage, ram) = match env::var_os("CARGO_FEATURE_MPS2_AN505") {
        Some(_) => (0x1000_0000, 0x8000_0000_u32, 0x3800_0000_u32),
        None => (0, 0x2100_0000, 0x2000_0000_u32),
    };
    let script = format!(
        "MEMORY {{\n  FLASH : ORIGIN = {code:#010x}, LENGTH = 256K\n  RAM : ORIGIN = {ram:#010x}, LENGTH = 128K\n}}\n\
         _storage = {storage:#010x};\n"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo gives OUT_DIR")?);
    fs::write(out.join("memory.x"), script)?;
    // Handlers of interrupts by name: none.
    fs::write(out.join("device.x"), "")?;
    println!("cargo:rustc-link-search={}", out.display());
    // Functions that compile to the same code are one.
    for argument in ["--icf=all", "--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
