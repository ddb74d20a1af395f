//! `firmware-sim campaign`: its report. What it finds is for `tests/run faults` to see.

use sealnet_tests::system::{names, send};
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
    assert_eq!(found["bit_flips"]["trials"], 0);

    // Nothing is left to do.
    let again = campaign(root.path(), &quick);
    assert_eq!((again.code, &again.stdout), (0, &first.stdout));
    assert_eq!(again.stderr, "");

    // What was found before counts, also what was bad.
    let report = root.path().join("report.json");
    let text = fs::read_to_string(&report).unwrap();
    fs::write(
        &report,
        text.replacen("\"failures\": 0", "\"failures\": 2", 1),
    )
    .unwrap();
    let bad = campaign(root.path(), &quick);
    assert_eq!(bad.code, 1, "{}", bad.stderr);
    assert!(
        bad.stderr.contains("error: 2 faults were not withstood"),
        "{}",
        bad.stderr
    );
    let bad: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(bad["power_cuts"]["bad_boots"], 2);
    assert_eq!(bad["error"]["message"], "2 faults were not withstood");

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

/// Told to stop amid a part: what was kept is whole, said, and gone on from to the same end.
#[test]
fn a_stopped_campaign_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let quick = ["--quick", "--only", "cuts", "--report"];
    let report = root.path().join("stopped.json");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let kept = |text: &str| text.matches("\"trials\"").count();
        let before = kept(&fs::read_to_string(&report).unwrap_or_default());
        // With the signals as a terminal has them, whatever this test was started with.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT,TERM")
            .arg(binary("firmware-sim"))
            .arg("campaign")
            .args(quick)
            .arg("stopped.json")
            .current_dir(root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        while kept(&fs::read_to_string(&report).unwrap_or_default()) == before {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code));
        assert!(ended.stdout.is_empty());
        let parts = kept(&fs::read_to_string(&report).unwrap());
        let are = if parts == 1 { "part is" } else { "parts are" };
        let said = format!(
            "error: stopped by SIG{signal}; {parts} {are} kept in stopped.json, and the same command goes on from \
             there\n"
        );
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(stderr.ends_with(&said), "{stderr}");
        assert!((before + 1..8).contains(&parts), "{parts}");
        assert_eq!(names(root.path()), ["stopped.json"]);
    }
    let read = |name: &str| fs::read(root.path().join(name)).unwrap();
    let first = |line: &[&str]| {
        let ran = campaign(root.path(), &[&quick[..], line].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let gone_on = first(&["stopped.json"]);
    // In shares, on two machines, added up: the same report.
    for (share, name) in [("1/2", "one.json"), ("2/2", "two.json")] {
        let share = first(&[name, "--share", share]);
        assert!(share.contains("parts 8, parts done 4"), "{share}");
    }
    let add = |more: &[&str]| {
        campaign(
            root.path(),
            &[&["--report", "sum.json", "--add"], more].concat(),
        )
    };
    let added = add(&["one.json", "two.json"]);
    assert_eq!(
        (added.code, &added.stdout),
        (0, &gone_on),
        "{}",
        added.stderr
    );
    assert!(read("sum.json") == read("stopped.json"));
    // What is in both and the same is there once.
    assert_eq!(add(&["stopped.json", "one.json"]).stdout, gone_on);

    // What contradicts, is of another image, is none or is not there changes nothing.
    let two = String::from_utf8(read("two.json")).unwrap();
    for (name, text, said) in [
        (
            "odd.json",
            two.replacen("\"failures\": 0", "\"failures\": 1", 1),
            "part 2 of cuts-clear came to something else there",
        ),
        (
            "other.json",
            two.replace("\"image\": \"", "\"image\": \"0"),
            "of another firmware",
        ),
        (
            "strange.json",
            two.replace("\"7\"", "\"9\"").replacen("\"3\"", "\"4\"", 1),
            "there is no part 5 of cuts-clear",
        ),
        (
            "unheard.json",
            two.replace("\"skips\": {", UNHEARD),
            "there is no part 1 of no-such-scenario",
        ),
        ("torn.json", two[..200].to_owned(), "EOF while parsing"),
    ] {
        fs::write(root.path().join(name), text).unwrap();
        let refused = add(&["one.json", name]);
        assert_eq!(refused.code, 2, "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{name}: {}", refused.stderr);
        assert!(read("sum.json") == read("stopped.json"));
    }
    let missing = add(&["missing.json"]);
    assert_eq!(missing.code, 2);
    assert!(
        missing
            .stderr
            .contains("the report missing.json cannot be added: there is no such file"),
        "{}",
        missing.stderr
    );
}

/// A report is a file: at a pipe nobody waits, and no device is written to.
#[test]
fn a_report_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo")
        .arg(root.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    for report in ["pipe", "/dev/null"] {
        let refused = campaign(root.path(), &["--quick", "--report", report]);
        let said = format!(
            "error: {report} is a pipe or a device, not a file\n  hint: name a regular file\n"
        );
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        // Before it, perhaps, that the firmware is built.
        assert!(refused.stderr.ends_with(&said), "{}", refused.stderr);
    }
    // Where none can be kept, nothing is tried.
    let refused = campaign(root.path(), &["--quick", "--report", "nowhere/report.json"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("error: cannot write in nowhere"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_share_is_one_of_some() {
    let root = tempfile::tempdir().unwrap();
    for share in ["0/2", "3/2", "1", "1/0", "1/65", "a/b"] {
        let refused = campaign(root.path(), &["--share", share]);
        assert_eq!(refused.code, 2, "{share}: {}", refused.stderr);
    }
}

/// A campaign that found something fails, and shows first what is worst.
#[test]
fn what_was_found_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let locked: Vec<String> = (0..11)
        .map(|place| format!("\"scan+{place}: no good model any more\""))
        .collect();
    let places = format!("{}, \"verify+2: accepted\"", locked.join(", "));
    let report = UNHEARD
        .replace("no-such-scenario", "other-key")
        .replace("\"accepted\": 0", "\"accepted\": 1")
        .replace("\"places\": []", &format!("\"places\": [{places}]"));
    fs::write(
        root.path().join("found.json"),
        format!("{{\"quick\": false, \"image\": \"00\", {report}}}}}"),
    )
    .unwrap();
    let arguments = ["--report", "sum.json", "--add", "found.json"];
    let found = campaign(root.path(), &arguments);
    assert_eq!(found.code, 1, "{}{}", found.stdout, found.stderr);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(lines[1].contains("other-key"), "{}", found.stdout);
    assert_eq!(lines[2], "    verify+2: accepted");
    assert_eq!(lines[3], "    scan+0: no good model any more");
    assert_eq!(lines[12], "    and 2 more: --json names them all");
    assert_eq!(lines.len(), 14, "{}", found.stdout);
    // And what is in no report is said.
    for part in [
        "not tried: bit flips, power cuts, frames, ",
        ", 63 of 64 parts of skips of other-key, ",
        ", skips of request-replayed",
    ] {
        assert!(lines[13].contains(part), "{}", lines[13]);
    }
    let json = campaign(
        root.path(),
        &["--report", "sum.json", "--add", "found.json", "--json"],
    );
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["complete"], false);
    assert_eq!(json["bit_flips"]["trials"], 0);
    // No trial of another kind is promised.
    let flips = ["--quick", "--only", "flips", "--scenario", "other-key"];
    let refused = campaign(root.path(), &flips);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .contains("--scenario is of skipped instructions")
    );
}

/// What a scenario that no campaign has would look like in a report.
const UNHEARD: &str = r#""skips": {
    "no-such-scenario": {"instructions": 1, "addresses": 1, "all_trials": 2, "parts": {"0": {
        "trials": 0, "refused": 0, "faulted": 0, "hung": 0, "busy": 0, "accepted": 0, "locked": 0, "missed": 0,
        "places": [], "covered": []
    }}}"#;
