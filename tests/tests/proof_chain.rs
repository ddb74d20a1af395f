//! The chain of proofs holds at compile time: what must not be possible does not compile.
//!
//! Each file in `ui/` is a way to cheat. A line that must be an error ends in `//~` and the error's
//! code; a file fails if it has any other error, or lacks one. Codes are compared and not wording, so
//! that another compiler version does not matter, and only the core is built for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

type Errors = BTreeSet<(usize, String)>;

#[test]
fn nothing_but_the_chain_makes_a_proof() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut cases: Vec<String> = fs::read_dir(&ui)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    cases.sort();
    assert!(cases.iter().any(|case| case == "the_chain_itself"));

    let found = check(&ui, &cases);
    for case in &cases {
        let source = fs::read_to_string(ui.join(format!("{case}.rs"))).unwrap();
        let found: Errors = found
            .iter()
            .filter(|(name, _)| name == case)
            .map(|(_, error)| error.clone())
            .collect();
        assert_eq!(found, expected(&source), "{case}");
    }
}

/// The lines that end in `//~ CODE`.
fn expected(source: &str) -> Errors {
    let lines = source.lines().zip(1..);
    lines
        .filter_map(|(line, number)| Some((number, line.split_once("//~ ")?.1.to_owned())))
        .collect()
}

/// Compiles every case against the core and returns each error's case, line and code.
fn check(ui: &Path, cases: &[String]) -> Vec<(String, (usize, String))> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proof-chain");
    fs::create_dir_all(&package).unwrap();
    let repository = ui.ancestors().nth(3).unwrap();
    let core = repository.join("core");
    let mut manifest = format!(
        "[workspace]\n[package]\nname = \"proof-chain\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         autobins = false\n[dependencies]\nsealnet-core = {{ path = {core:?} }}\n"
    );
    for case in cases {
        let path = ui.join(format!("{case}.rs"));
        manifest += &format!("[[bin]]\nname = \"{case}\"\npath = {path:?}\n");
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(repository.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();

    let output = Command::new(env!("CARGO"))
        .args([
            "check",
            "--offline",
            "--keep-going",
            "--message-format=json",
        ])
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .output()
        .unwrap();
    let mut built = 0;
    let mut errors = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let diagnostic = &message["message"];
        match message["reason"].as_str() {
            Some("compiler-artifact") if name == "the_chain_itself" => built += 1,
            Some("compiler-message") if diagnostic["level"] == "error" => {
                let spans = diagnostic["spans"].as_array().unwrap().iter();
                let Some(span) = spans.clone().find(|span| span["is_primary"] == true) else {
                    continue; // "aborting due to …"
                };
                let line = span["line_start"].as_u64().unwrap() as usize;
                let code = diagnostic["code"]["code"].as_str().unwrap_or("no code");
                errors.push((name.to_owned(), (line, code.to_owned())));
            }
            _ => {}
        }
    }
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(built, 1, "the control did not compile:\n{log}");
    errors
}
