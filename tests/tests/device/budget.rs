//! `firmware-sim budget`: what the device costs on a Cortex-M4, against what it may cost.

use std::process::Command;

use sealnet_firmware::qemu::Toolchain;
use sealnet_tests::binary;
use serde_json::Value;

#[test]
fn the_device_keeps_to_its_budget() {
    let output = Command::new(binary("firmware-sim"))
        .args(["budget", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let budget: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kib = |n: u64| n * 1024;
    // Sizes and instructions are the same at each run, but for a path that a random nonce takes. The limits are the
    // goals.
    let flash = match Toolchain::found("thumbv7em-none-eabihf") {
        Some(Toolchain::Rustup) => kib(48),
        // Debian's compiler is another version, and makes more of the same code.
        Some(Toolchain::Debian) | None => kib(51),
    };
    let inference = |mode: &str| {
        let figure = budget["inference_instructions"][mode].as_u64().unwrap();
        // Opening, receipt and sealing take more than a million on top.
        figure + 500_000
    };
    let int4 = budget["int4"]["inference_instructions"].as_u64().unwrap();
    for (figure, least, most) in [
        ("/flash_bytes", kib(32), flash),
        ("/ram_bytes/clear", kib(4), kib(16)),
        ("/ram_bytes/streamed", kib(4), kib(20)),
        ("/verify_instructions", 4_000_000, 8_000_000),
        ("/boot_instructions/clear", 8_000_000, 18_000_000),
        ("/boot_instructions/confidential", 12_000_000, 45_000_000),
        ("/ram_bytes/confidential", kib(56), kib(76)),
        ("/stack_bytes", kib(2), u64::MAX),
        ("/inference_instructions/clear", 10_000, u64::MAX),
        ("/inference_instructions/confidential", 10_000, u64::MAX),
        ("/inference_instructions/streamed", 1_000_000, u64::MAX),
        // A whole request, the inference in it.
        // With int4 weights, against the same limits.
        ("/int4/flash_bytes", kib(32), flash),
        ("/int4/ram_bytes", kib(4), kib(16)),
        ("/int4/boot_instructions", 8_000_000, 18_000_000),
        ("/int4/inference_instructions", 10_000, u64::MAX),
        ("/int4/request_instructions", int4 + 500_000, 2_500_000),
        ("/request_instructions/clear", inference("clear"), 2_500_000),
        (
            "/request_instructions/confidential",
            inference("confidential"),
            2_500_000,
        ),
        (
            "/request_instructions/streamed",
            inference("streamed"),
            16_000_000,
        ),
    ] {
        let found = budget.pointer(figure).and_then(Value::as_u64);
        let found = found.unwrap_or_else(|| panic!("{figure} is missing: {budget}"));
        assert!((least..=most).contains(&found), "{figure}: {found}");
    }
}
