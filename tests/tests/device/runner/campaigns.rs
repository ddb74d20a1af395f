//! `firmware-sim campaign`: its report. What it finds is for `tests/run faults` to see.

use serde_json::Value;

use super::*;

fn campaign(root: &std::path::Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary("firmware-sim"));
    command.current_dir(root).arg("campaign").args(arguments);
    Ran::new(&mut command)
}

#[test]
fn a_campaign_goes_on_from_its_report() {
    let root = tempfile::tempdir().unwrap();
    let quick = [
        "--quick",
        "--only",
        "cuts",
        "--report",
        "report.json",
        "--json",
    ];
    let first = campaign(root.path(), &quick);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let found: Value = serde_json::from_str(&first.stdout).unwrap();
    assert!(
        found["power_cuts"]["trials"].as_u64() > Some(5000),
        "{found}"
    );
    assert_eq!(found["power_cuts"]["bad_boots"], 0);
    assert!(found.get("bit_flips").is_none());

    // Nothing is left to do.
    let again = campaign(root.path(), &quick);
    assert_eq!((again.code, &again.stdout), (0, &first.stdout));
    assert_eq!(again.stderr, "");

    // What was found before counts, also what was bad.
    let report = root.path().join("report.json");
    let text = fs::read_to_string(&report).unwrap();
    fs::write(
        &report,
        text.replace("\"bad_boots\": 0", "\"bad_boots\": 2"),
    )
    .unwrap();
    let bad = campaign(root.path(), &quick);
    assert_eq!(bad.code, 1, "{}", bad.stderr);
    assert!(
        bad.stderr.contains("error: 2 faults were not withstood"),
        "{}",
        bad.stderr
    );

    // Everything is not the sample, and another firmware not this one.
    let whole = campaign(root.path(), &["--only", "cuts", "--report", "report.json"]);
    fs::write(&report, text.replace("\"image\": \"", "\"image\": \"0")).unwrap();
    let other = campaign(root.path(), &quick);
    fs::write(&report, "{").unwrap();
    let broken = campaign(root.path(), &quick);
    for refused in [whole, other, broken] {
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("error: the report report.json cannot be gone on from")
                && refused.stderr.contains("hint: name another file"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_share_is_one_of_some() {
    let root = tempfile::tempdir().unwrap();
    for share in ["0/2", "3/2", "1", "1/0", "1/65", "a/b"] {
        let refused = campaign(root.path(), &["--share", share]);
        assert_eq!(refused.code, 2, "{share}: {}", refused.stderr);
    }
}
