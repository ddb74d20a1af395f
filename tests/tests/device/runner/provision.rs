//! What is provisioned and what is not, and what goes on from the image that was there.

use super::*;

#[test]
fn a_model_that_does_not_boot_is_not_provisioned_unless_asked_for() {
    let desk = Desk::new();
    let mut forged = fs::read(desk.path("model.sealed")).unwrap();
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    desk.write(
        "other.sealed",
        &desk.model(
            &Model::random([784, 32, 32, 10], Granularity::PerOutput, 1),
            3,
        ),
    );
    desk.write(
        "large.sealed",
        &desk.model(
            &Model::random([784, 128, 128, 10], Granularity::PerOutput, 1),
            3,
        ),
    );
    let cases = [
        (
            "forged.sealed",
            "",
            1,
            "error: the device refuses the model: the signature does not verify",
        ),
        (
            "model.sealed",
            " --min-counter 4",
            1,
            "error: the device refuses the model: security counter 3 is below 4: an older model\n",
        ),
        (
            "other.sealed",
            "",
            2,
            "rebuild it with SEALNET_SHAPE=784-32-32-10 cargo build --release\n",
        ),
        (
            "large.sealed",
            "",
            2,
            "  hint: rebuild it for the model: SEALNET_SHAPE=784-128-128-10 cargo build --release\n",
        ),
        (
            "missing.sealed",
            "",
            2,
            "error: cannot read missing.sealed: No such file or directory",
        ),
    ];
    for (model, more, code, text) in cases {
        let ran = desk.provision(model, more);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{model}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(text), "{model}: {}", ran.stderr);
        assert!(!desk.path("flash.bin").exists(), "{model}");
    }
    assert_eq!(desk.provision("forged.sealed", " --no-check").code, 0);
    let mut device = desk.boot();
    let error = Client::new(&desk.identity)
        .infer(&mut device, &[0; 784])
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Refused(Refusal {
                code: RefusalCode::NotReady,
                ..
            })
        ),
        "{error}"
    );
    assert_eq!(device.end(), 1);
}

/// A broken file is broken for the same reason, whichever command is given it.
#[test]
fn provision_and_update_say_the_same_of_a_model() {
    let desk = Desk::new();
    let good = desk.model(&network(2), 9);
    let mut flipped = good.clone();
    flipped[1000] ^= 1;
    let mut magic = good.clone();
    magic[2] ^= 1;
    let other = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    desk.write("sparse", &[]);
    let sparse = fs::OpenOptions::new().write(true).open(desk.path("sparse"));
    sparse.unwrap().set_len(3 << 30).unwrap();
    fs::create_dir(desk.path("folder")).unwrap();
    let cases: [(&str, Option<Vec<u8>>, i32, &str); 11] = [
        ("empty", Some(Vec::new()), 1, "the file ends too early"),
        (
            "ten",
            Some(good[..10].to_vec()),
            1,
            "the file ends too early",
        ),
        (
            "cut",
            Some(good[..40_000].to_vec()),
            1,
            "the file ends too early",
        ),
        (
            "longer",
            Some([&good[..], b"x"].concat()),
            1,
            "bytes follow the signature",
        ),
        ("flipped", Some(flipped), 1, "the signature does not verify"),
        ("magic", Some(magic), 1, "not a sealed model"),
        (
            "shape",
            Some(desk.model(&other, 9)),
            2,
            "SEALNET_SHAPE=784-32-32-10",
        ),
        (
            "long",
            Some(vec![0; SLOT_LEN + 1]),
            2,
            "65537 bytes long; a slot",
        ),
        (
            "sparse",
            None,
            2,
            "error: sparse is 3221225472 bytes long, which no model is\n  hint: name a model",
        ),
        (
            "folder",
            None,
            2,
            "error: cannot read folder: is a directory",
        ),
        (
            "missing",
            None,
            2,
            "error: cannot read missing: No such file",
        ),
    ];
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    for (name, bytes, code, said) in cases {
        if let Some(bytes) = bytes {
            desk.write(name, &bytes);
        }
        let updated = desk.ran(&format!("update --flash flash.bin --model {name}"));
        let provisioned = desk.ran(&format!(
            "provision --keys keys/device-0001 --model {name} --flash new.bin"
        ));
        assert!(updated.stderr.contains(said), "{name}: {}", updated.stderr);
        assert_eq!(
            (provisioned.code, &provisioned.stderr),
            (code, &updated.stderr),
            "{name}"
        );
        assert_eq!(updated.code, code, "{name}");
        assert!(!desk.path("new.bin").exists(), "{name}");
    }
}

/// What would be replaced, or left beside another device's image, is looked at first.
#[test]
fn only_a_flash_image_is_replaced_and_nothing_newer_is_forgotten() {
    let desk = Desk::new();
    desk.write("flash.bin", b"letters");
    for force in ["", " --force"] {
        let ran = desk.provision("model.sealed", force);
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (
                2,
                "error: flash.bin exists and is no flash image of this firmware, so it is not replaced\n  \
                 hint: name another file, or remove this one yourself\n"
            )
        );
        assert_eq!(fs::read(desk.path("flash.bin")).unwrap(), b"letters");
    }
    fs::remove_file(desk.path("flash.bin")).unwrap();
    desk.write("flash.bin.running", b"what a run left behind");
    for force in ["", " --force"] {
        let ran = desk.provision("model.sealed", force);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        let said = "error: flash.bin is not there, and what a run of it in QEMU left behind is: \
                    flash.bin.running\n  hint: it holds the newest counters";
        assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
        assert!(!desk.path("flash.bin").exists());
    }
    fs::remove_file(desk.path("flash.bin.running")).unwrap();
    let made = desk.provision("model.sealed", " --min-counter 2 --json");
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    let expected = serde_json::json!({
        "device": "0001",
        "flash": "flash.bin",
        "bytes": FLASH_LEN,
        "counters": {"boots": 0, "security_counter": 2, "requests": 0, "go_on": false},
    });
    assert_eq!(made.json(), expected);
    let again = desk.provision("model.sealed", " --force --json");
    assert_eq!(again.json()["counters"]["go_on"], true, "{}", again.stderr);
    let refused = desk.provision("model.sealed", " --json");
    let error = &document(&refused)["error"];
    assert_eq!((refused.code, &error["kind"]), (2, &"input".into()));
    assert_eq!(error["message"], "flash.bin exists");
    assert_eq!(error["failures"], serde_json::json!([]));
}

#[test]
fn provisioning_again_goes_on_from_the_counters_that_were_there() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    client.status(&mut device).unwrap();
    let request = client.seal(&[9; 784]).unwrap();
    let response = device.exchange(&request.frame).unwrap();
    client.open(&request, &response).unwrap();
    // Not while the device is running.
    let in_use = desk.provision("model.sealed", " --force");
    assert_eq!(in_use.code, 2, "{}", in_use.stderr);
    assert!(in_use.stderr.contains("in use"), "{}", in_use.stderr);
    assert_eq!(device.end(), 0);

    let again = desk.provision("model.sealed", " --force --min-counter 2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    let went_on = format!("1 boots, security counter 3, no request up to {REQUEST_BLOCK}");
    assert_eq!(
        again.stderr,
        format!(
            "the counters of flash.bin go on: {went_on}\n\
             device 0001: flash.bin provisioned, {FLASH_LEN} bytes\n"
        )
    );
    assert_eq!(counters(&desk), format!("counters   {went_on}"));
    let mut device = desk.boot();
    assert_eq!(
        refused(&mut device, &request.frame),
        RefusalCode::Provisioning
    );
    assert_eq!(client.status(&mut device).unwrap().boot, 2);
    let response = client.seal(&[9; 784]).unwrap();
    let second = device.exchange(&response.frame).unwrap();
    client.open(&response, &second).unwrap();
    assert_eq!(device.end(), 0);

    desk.write("older.sealed", &desk.model(&network(1), 2));
    let older = desk.provision("older.sealed", " --force");
    assert_eq!(older.code, 1, "{}", older.stderr);
    let raised = desk.provision("model.sealed", " --force --min-counter 4 --no-check");
    assert_eq!(raised.code, 0, "{}", raised.stderr);
    assert!(
        counters(&desk).contains("security counter 4"),
        "{}",
        counters(&desk)
    );

    // Whose counters cannot be read stays as it is.
    let mut bytes = fs::read(desk.path("flash.bin")).unwrap();
    bytes[JOURNAL..].fill(0);
    desk.write("flash.bin", &bytes);
    let refused = desk.provision("model.sealed", " --force");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("cannot be read") && refused.stderr.contains("  hint: make new"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(desk.path("flash.bin")).unwrap(), bytes);
}

/// The image of one device made over that of another, and back: no request of the first life is answered in
/// the second, though the counters begin again.
#[test]
fn another_device_in_between_brings_no_old_request_back() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    client.status(&mut device).unwrap();
    let request = client.seal(&[9; 784]).unwrap();
    let response = device.exchange(&request.frame).unwrap();
    client.open(&request, &response).unwrap();
    assert_eq!(device.end(), 0);
    for (device, more, security) in [("0002", "", 0), ("0001", " --min-counter 2", 2)] {
        let ran = desk.ran(&format!(
            "provision --keys keys/device-{device} --model model.sealed --flash flash.bin --force{more}"
        ));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let warning = format!(
            "warning: flash.bin was another device's: the counters of {device} begin at zero, and it takes \
             models from security counter {security} on"
        );
        assert!(ran.stderr.starts_with(&warning), "{}", ran.stderr);
    }
    let mut device = desk.boot();
    assert_eq!(
        refused(&mut device, &request.frame),
        RefusalCode::Provisioning
    );
    // A client that remembers the first life asks anew and is answered.
    assert!(client.infer(&mut device, &[9; 784]).is_err());
    client.infer(&mut device, &[9; 784]).unwrap();
    assert_eq!(device.end(), 0);
}
