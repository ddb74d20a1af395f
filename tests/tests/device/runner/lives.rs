//! A device's lives: it is made, runs, is killed and gets a newer model.

use super::*;

#[test]
fn provision_run_and_info() {
    let desk = Desk::new();
    let made = desk.provision("model.sealed", " --min-counter 2");
    assert_eq!(
        (made.code, made.stdout.as_str()),
        (0, ""),
        "{}",
        made.stderr
    );
    assert_eq!(
        made.stderr,
        format!("device 0001: flash.bin provisioned, {FLASH_LEN} bytes\n")
    );
    let mode = fs::metadata(desk.path("flash.bin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    let features = [9; 784];
    let logits = network(1).oracle(&features);
    assert!(
        client
            .infer(&mut device, &features)
            .unwrap()
            .computed(&logits)
    );
    assert_eq!(client.status(&mut device).unwrap().boot, 1);
    let replayed = client.seal(&features).unwrap();
    let response = device.exchange(&replayed.frame).unwrap();
    client.open(&replayed, &response).unwrap();
    let in_use = desk.ran("info --flash flash.bin");
    assert_eq!(
        (in_use.code, in_use.stderr.as_str()),
        (2, "error: flash.bin is in use by another firmware-sim\n")
    );
    assert_eq!(device.end(), 0);

    let info = desk.ran("info --flash flash.bin");
    assert_eq!(info.code, 0, "{}", info.stderr);
    for line in [
        "firmware   0.1.0, built for 784-64-64-10\n",
        "device     0001\n",
        "slot A     claims: 784-64-64-10 \"test\", security counter 3, signed by ed25519 ",
        "slot B     blank\n",
        "active     slot A; no trial; no trial has ended since the last upload, if there was one\n",
        &format!("counters   1 boots, security counter 3, no request up to {REQUEST_BLOCK}\n"),
    ] {
        assert!(
            info.stdout.contains(line),
            "{line} is not in\n{}",
            info.stdout
        );
    }

    // Killed: a power cut at any moment. The counters go on and the replay stays one.
    for boot in 2..6 {
        let mut device = desk.boot();
        let status = client.status(&mut device).unwrap();
        assert_eq!(status.boot, boot);
        assert_eq!(refused(&mut device, &replayed.frame), RefusalCode::Replay);
        assert_eq!(
            client.infer(&mut device, &features).unwrap().receipt.boot,
            boot
        );
        device.kill();
    }
}

#[test]
fn update_takes_a_newer_model_that_boots_and_nothing_else() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut device = desk.boot();
    let mut client = Client::new(&desk.identity);
    client.infer(&mut device, &[9; 784]).unwrap();
    let in_use = desk.ran("update --flash flash.bin --model model.sealed");
    assert_eq!(in_use.code, 2, "{}", in_use.stderr);
    assert_eq!(device.end(), 0);

    let newer = network(2);
    let mut broken = desk.model(&newer, 9);
    let golden = broken.len() - 256 - 64 - 32 - 16;
    let publisher = KeyFolder::open(&desk.path("keys")).unwrap();
    let publisher = publisher.publisher_signing().unwrap();
    change_and_sign(&mut broken, golden, &publisher);
    desk.write("broken.sealed", &broken);
    let mut forged = desk.model(&newer, 9);
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    desk.write("older.sealed", &desk.model(&newer, 2));
    desk.write("equal.sealed", &desk.model(&newer, 3));
    let other = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    desk.write("other.sealed", &desk.model(&other, 9));
    desk.write("long.sealed", &[0; 65_537]);
    let before = fs::read(desk.path("flash.bin")).unwrap();
    let cases = [
        ("broken.sealed", 1, "golden"),
        ("forged.sealed", 1, "the signature does not verify"),
        ("older.sealed", 1, "counter 2"),
        (
            "equal.sealed",
            1,
            "  hint: export it with a higher one: sealnet export --counter 4\n",
        ),
        ("other.sealed", 2, "SEALNET_SHAPE=784-32-32-10"),
        ("long.sealed", 2, "65537 bytes long"),
        ("none.sealed", 2, "cannot read none.sealed"),
    ];
    for (model, code, text) in cases {
        let ran = desk.ran(&format!("update --flash flash.bin --model {model}"));
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(text), "{model}: {}", ran.stderr);
        // Counters go on and the spare slot may hold the refused model; the old one is where it was, and served.
        let after = fs::read(desk.path("flash.bin")).unwrap();
        assert!(after[..SLOT_LEN] == before[..SLOT_LEN], "{model}");
        assert!(counters(&desk).contains("security counter 3"), "{model}");
    }
    let info = desk.ran("info --flash flash.bin").stdout;
    let state =
        "active     slot A; no trial; no trial has ended since the last upload, if there was one\n";
    assert!(info.contains(state), "{info}");
    let mut device = desk.boot();
    client.status(&mut device).unwrap();
    let answer = client.infer(&mut device, &[9; 784]).unwrap();
    assert!(answer.computed(&network(1).oracle(&[9; 784])));
    assert_eq!(device.end(), 0);

    desk.write("newer.sealed", &desk.model(&newer, 4));
    let ran = desk.ran("update --flash flash.bin --model newer.sealed");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            0,
            "flash.bin: the model is replaced; security counter 3 -> 4\n"
        )
    );
    let mode = fs::metadata(desk.path("flash.bin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(counters(&desk).contains("security counter 4"));
    let info = desk.ran("info --flash flash.bin").stdout;
    let state = "active     slot B; no trial; the last update that was tried is confirmed\n";
    assert!(info.contains(state), "{info}");
    let mut device = desk.boot();
    client.status(&mut device).unwrap();
    let answer = client.infer(&mut device, &[9; 784]).unwrap();
    assert!(answer.computed(&newer.oracle(&[9; 784])));
    assert_eq!(device.end(), 0);
}

/// The same update on the wire of the running program, which resets its board by itself.
#[test]
fn the_running_device_is_updated_over_its_streams() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    let [older, newer] = [desk.model(&network(2), 3), desk.model(&network(2), 4)];
    let refused = client.update(&mut device, &older, |_| {}).unwrap_err();
    assert!(
        matches!(refused, ClientError::Refused(refusal) if refusal.code == RefusalCode::ModelNotNewer),
        "{refused}"
    );
    let mut told = Vec::new();
    client
        .update(&mut device, &newer, |bytes| told.push(bytes))
        .unwrap();
    assert_eq!((told[0], told.last()), (512, Some(&newer.len())));
    client.updated(&mut device, &newer).unwrap();
    let answer = client.infer(&mut device, &[9; 784]).unwrap();
    assert!(answer.computed(&network(2).oracle(&[9; 784])));
    assert_eq!(answer.receipt.boot, 2);
    assert_eq!(device.end(), 0);
    // Killed amid an upload, on the other slot's pages.
    let mut device = desk.boot();
    let newest = desk.model(&network(1), 5);
    client.status(&mut device).unwrap();
    let total = newest.len() as u32;
    let begin = client.seal_update(UpdateStep::Begin { total }).unwrap();
    let response = device.exchange(&begin.frame).unwrap();
    client.acknowledged(&begin, &response).unwrap();
    device.kill();
    let mut device = desk.boot();
    client.updated(&mut device, &newer).unwrap();
    assert_eq!(device.end(), 0);
}
