//! `firmware-sim constant-time`: what a Cortex-M4 executes does not depend on its secrets.

use std::process::Command;

use sealnet_tests::binary;
use serde_json::Value;

#[test]
fn what_is_executed_does_not_depend_on_secrets() {
    let output = Command::new(binary("firmware-sim"))
        .args(["constant-time", "--quick", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let number = |part: &Value, of: &str| part.pointer(of).and_then(Value::as_u64);
    let parts = found["parts"].as_array().unwrap();
    for (what, least, traced) in [
        ("comparison of a request's tag", 40, true),
        (
            "comparison of a model's HMAC-SHA-512, boot refused",
            10,
            false,
        ),
        ("boot, clear", 5, false),
        ("Fernet open of a request, clear", 5, true),
        ("dense kernel, clear", 5, true),
        ("answer, clear", 5, true),
        ("boot, confidential", 5, false),
        ("Fernet open of a request, confidential", 5, true),
        ("dense kernel, confidential", 5, true),
        ("answer, confidential", 5, true),
        ("boot, clear, int4", 5, false),
        ("Fernet open of a request, clear, int4", 5, true),
        ("dense kernel, clear, int4", 5, true),
        ("answer, clear, int4", 5, true),
    ] {
        let part = parts.iter().find(|part| part["what"] == what);
        let part = part.unwrap_or_else(|| panic!("{what} is missing: {found}"));
        assert!(number(part, "/executions") >= Some(least), "{part}");
        // Something was executed, always as much of it, and nothing that divides.
        assert!(number(part, "/min") > Some(10_000), "{part}");
        assert_eq!(part["min"], part["max"], "{part}");
        if traced {
            assert_eq!(part["same_path"], true, "{part}");
        }
        assert_eq!(number(part, "/operands/divisions"), Some(0), "{part}");
    }
    // A comparison that ends at the first difference is found.
    let control = &found["control"];
    assert_eq!(control["same_path"], false, "{control}");
    assert!(
        number(control, "/min") < number(control, "/max"),
        "{control}"
    );
    assert!(output.status.success(), "{said}");
}
