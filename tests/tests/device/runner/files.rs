//! Files that are not what they should be, and hostile text in them.

use super::*;

/// What is said about a hostile image or a strange file name commands no terminal.
#[test]
fn hostile_text_is_shown_without_control_characters() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", " --no-check").code, 0);
    let good = fs::read(desk.path("flash.bin")).unwrap();
    for text in ["\x1b[31mred", "a\rb", "a\u{9b}1mb", "a\u{202e}b", "a\0b"] {
        for (offset, len) in [(200, 32), (IDENTITY + 16, 16)] {
            let mut bytes = good.clone();
            bytes[offset..offset + len].fill(0);
            bytes[offset..offset + text.len()].copy_from_slice(text.as_bytes());
            desk.write("flash.bin", &bytes);
            for command in ["info", "run"] {
                let ran = desk.ran(&format!("{command} --flash flash.bin"));
                let shown = ran.stdout + &ran.stderr;
                let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!shown.is_empty() && !shown.contains(hostile), "{shown:?}");
            }
        }
    }
    let mut command = desk.command("info --flash");
    let ran = Ran::new(command.arg("no\x1b[2Jthing").stdin(Stdio::null()));
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr
            .starts_with("error: cannot open no\\u{1b}[2Jthing"),
        "{}",
        ran.stderr
    );
}

#[test]
fn bad_flash_files_are_refused_and_left_alone() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let before = fs::read(desk.path("flash.bin")).unwrap();
    let again = desk.provision("model.sealed", "");
    assert_eq!(again.code, 2);
    assert!(
        again
            .stderr
            .starts_with("error: flash.bin exists\n  hint: "),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(desk.path("flash.bin")).unwrap(), before);
    assert_eq!(desk.provision("model.sealed", " --force").code, 0);

    let refused = |text: &str| {
        for command in ["run", "info"] {
            let ran = desk.ran(&format!("{command} --flash flash.bin"));
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
            assert!(ran.stderr.contains(text), "{}", ran.stderr);
        }
    };
    let set_mode = |mode| {
        fs::set_permissions(desk.path("flash.bin"), fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o640);
    refused("error: flash.bin is open to other users\n  hint: ");
    set_mode(0o600);
    desk.write("flash.bin", &before[1..]);
    refused("error: flash.bin is no flash image of this firmware");
    fs::remove_file(desk.path("flash.bin")).unwrap();
    refused("error: cannot open flash.bin: No such file or directory");

    // A journal without a record: the device reports and refuses, and the exit code says that it is no attack.
    let mut blank = before;
    blank[JOURNAL..].fill(0xFF);
    desk.write("flash.bin", &blank);
    set_mode(0o600);
    let ran = desk.ran("run --flash flash.bin");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("the journal holds no valid record"),
        "{}",
        ran.stderr
    );
    assert_eq!(desk.ran("info --flash flash.bin").code, 0);
}

#[test]
fn usage_errors_have_code_2() {
    let desk = Desk::new();
    for arguments in [
        "",
        "run",
        "provision --keys keys/device-0001",
        "boot",
        "run --flash",
    ] {
        let mut command = desk.command("");
        command = Command::new(command.get_program());
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty()));
        assert_eq!(Ran::new(&mut command).code, 2, "{arguments}");
    }
    assert_eq!(desk.ran("--help").code, 0);
    let missing = desk.ran("provision --keys nowhere --model model.sealed --flash flash.bin");
    assert_eq!(missing.code, 2);
    assert!(
        missing.stderr.contains("  hint: name a device's folder"),
        "{}",
        missing.stderr
    );
    assert!(!desk.path("flash.bin").exists());
}
