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
    refused("error: flash.bin is a secret that others can reach (mode 0640)\n  hint: chmod 600 ");
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

/// What is no image is no secret to be guarded: it is told for what it is.
#[test]
fn what_is_no_flash_image_is_told_so_before_its_permissions() {
    let desk = Desk::new();
    desk.write("letter", b"dear");
    for mode in [0o644, 0o600] {
        fs::set_permissions(desk.path("letter"), fs::Permissions::from_mode(mode)).unwrap();
        for command in ["run", "info", "update --model model.sealed"] {
            let ran = desk.ran(&format!("{command} --flash letter"));
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            let said = "error: letter is no flash image of this firmware: 4 bytes, not ";
            assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
        }
    }
    let made = Command::new("mkfifo").arg(desk.path("pipe")).status();
    assert!(made.unwrap().success());
    for file in ["/dev/zero", "pipe"] {
        for command in ["run", "info", "update --model model.sealed"] {
            let ran = desk.ran(&format!("{command} --flash {file}"));
            let said = format!(
                "error: {file} is a pipe or a device, not a file\n  hint: name a regular file\n"
            );
            assert_eq!((ran.code, ran.stderr), (2, said), "{command}");
        }
    }
}

#[test]
fn info_only_reads_and_tells_programs_the_same() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let flash = desk.path("flash.bin");
    fs::set_permissions(&flash, fs::Permissions::from_mode(0o400)).unwrap();
    // Another reader is no other user of it: a device is.
    let reader = fs::File::open(&flash).unwrap();
    reader.lock_shared().unwrap();
    let said = desk.ran("info --flash flash.bin");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let told = desk.ran("info --flash flash.bin --json").json();
    reader.unlock().unwrap();
    reader.lock().unwrap();
    let in_use = desk.ran("info --flash flash.bin --json");
    assert_eq!(in_use.code, 2);
    let message = "flash.bin is in use by another firmware-sim";
    assert_eq!(document(&in_use)["error"]["message"], message);

    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for line in [
        format!("device     {}\n", text(&told["device"])),
        format!("wire key   fernet {}\n", text(&told["wire_key"])),
        format!("publisher  ed25519 {}\n", text(&told["publisher"]["key"])),
        format!("active     {}; no trial;", text(&told["active"])),
        format!(
            "signed by ed25519 {}\n",
            text(&told["slot_a"]["signing_key"])
        ),
    ] {
        assert!(
            said.stdout.contains(&line),
            "{line} is not in {}",
            said.stdout
        );
    }
    assert_eq!(told["slot_a"]["verified"], false);
    assert_eq!(told["slot_a"]["security_counter"], 3);
    assert!(told["slot_b"].is_null() && told["last_tried_update"].is_null());
    let counters = serde_json::json!({"boots": 0, "security_counter": 0, "requests": 0});
    assert_eq!(
        (&told["counters"], &told["trial"]),
        (&counters, &"none".into())
    );
}

#[test]
fn options_of_boards_are_refused_where_there_is_none() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let before = fs::read(desk.path("flash.bin")).unwrap();
    for (command, option, value) in [
        ("run", "--board", "cortex-m3"),
        ("run", "--timeout", "5"),
        ("update --model model.sealed", "--board", "cortex-m4"),
        ("update --model model.sealed --on sim", "--timeout", "60"),
    ] {
        let ran = desk.ran(&format!("{command} --flash flash.bin {option} {value}"));
        let said = format!(
            "error: {option} is for a board in QEMU\n  hint: add --on qemu, or leave {option} out\n"
        );
        assert_eq!((ran.code, ran.stderr), (2, said), "{command}");
    }
    assert!(fs::read(desk.path("flash.bin")).unwrap() == before);
}

#[test]
fn the_help_has_exit_codes_and_examples_and_usage_errors_a_document() {
    let desk = Desk::new();
    let help = desk.ran("--help").stdout;
    for said in [
        "\nExamples:\n  firmware-sim provision ",
        "\nExit codes:\n  0  done\n  1  ",
    ] {
        assert!(help.contains(said), "{help}");
    }
    let wrong = desk.ran("info --json --flash");
    assert_eq!(
        (wrong.code, &document(&wrong)["error"]["kind"]),
        (2, &"usage".into())
    );
    // What a file is called commands no terminal there either.
    let ran = desk.ran("info --json --flash a\u{202e}b\x1b[2J");
    assert_eq!(ran.code, 2);
    assert!(
        !ran.stdout.contains(['\u{202e}', '\x1b']),
        "{:?}",
        ran.stdout
    );
    let message = "cannot open a\u{202e}b\x1b[2J: No such file or directory (os error 2)";
    assert_eq!(document(&ran)["error"]["message"], message);
}

/// Keys that others can change, and pipes, at which a reader would wait.
#[test]
fn keys_that_others_can_change_and_pipes_are_refused() {
    let desk = Desk::new();
    for (name, mode) in [
        ("keys/device-0001", 0o770),
        ("keys/device-0001/publisher.pub.pem", 0o646),
    ] {
        let path = desk.path(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = desk.provision("model.sealed", "");
        let expected = format!(
            "error: {name} is trusted, and others can change it (mode {mode:04o})\n  hint: "
        );
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
        fs::set_permissions(&path, before).unwrap();
    }
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let pipe = desk.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let wire = desk.path("keys/device-0001/wire.key");
    fs::rename(&wire, desk.path("wire.key")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&wire)
            .status()
            .unwrap()
            .success()
    );
    for (arguments, file) in [
        ("update --flash flash.bin --model pipe", "pipe"),
        (
            "provision --keys keys/device-0001 --model model.sealed --flash new.bin",
            "keys/device-0001/wire.key",
        ),
    ] {
        let ran = desk.ran(arguments);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        let expected = format!("error: {file} is a pipe or a device, not a file\n  hint: ");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
}

/// An update through a link replaces the image itself: no older one stays that could run beside it.
#[test]
fn an_update_through_a_link_leaves_no_old_image() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    std::os::unix::fs::symlink("flash.bin", desk.path("link.bin")).unwrap();
    desk.write("newer.sealed", &desk.model(&network(2), 4));
    let ran = desk.ran("update --flash link.bin --model newer.sealed");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(desk.path("link.bin").is_symlink());
    assert!(counters(&desk).contains("security counter 4"));
}
