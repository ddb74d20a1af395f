//! Firmware for int8 and for int4 weights: which one a board gets, and what it does with the other's models.

use super::*;
use crate::model_fixture::random_bytes;

/// A desk whose device holds an int8 model, and a newer int4 one.
fn desk() -> Desk {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    desk.write("int4.sealed", &desk.model(&int4_network(2), 4));
    desk
}

/// Answers of this model come, over standard input and output.
fn serves(desk: &Desk, model: &Model, options: &str) {
    let mut command = desk.command(&format!("run --flash flash.bin{options}"));
    let mut device = Process::start(&mut command);
    let mut client = Client::new(&desk.identity);
    client.status(&mut device).unwrap();
    let features = random_bytes(784, 6);
    let answer = client.infer(&mut device, &features);
    let answer = answer.unwrap_or_else(|error| panic!("run{options}: {error}"));
    assert!(answer.computed(&model.oracle(&features)), "{options}");
    assert_eq!(device.end(), 0, "{options}");
}

#[test]
fn firmware_for_int8_weights_refuses_an_int4_model_and_keeps_the_old_one() {
    let desk = desk();
    let before = fs::read(desk.path("flash.bin")).unwrap();
    // For int8 weights, as asked for or as the model in flash is.
    for weights in ["", " --weights int8"] {
        let update = format!("update --flash flash.bin --model int4.sealed --on qemu{weights}");
        let ran = desk.ran(&update);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        for said in [
            "warn  Refused(Update(Model(Model(UnsupportedWeightType(2)))))\n",
            "error: the device refuses the model: ",
            "weight type 2 (int4) is not among those that this build runs",
        ] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
        assert!(counters(&desk).contains("security counter 3"));
        let after = fs::read(desk.path("flash.bin")).unwrap();
        assert!(after[..SLOT_LEN] == before[..SLOT_LEN]);
        serves(&desk, &network(1), "");
        serves(&desk, &network(1), " --on qemu");
    }
}

#[test]
fn a_board_gets_firmware_for_the_model_that_it_serves() {
    let desk = desk();
    let (int8, int4) = (network(1), int4_network(2));
    serves(&desk, &int8, " --on qemu");
    // The other firmware serves no int8 model.
    let ran = desk.ran("run --flash flash.bin --on qemu --weights int4");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    let said = "warn  NoModel(Model(UnsupportedWeightType(1)))\n";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);

    // A device in this process takes either, and leaves the old model in the other slot.
    let ran = desk.ran("update --flash flash.bin --model int4.sealed");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serves(&desk, &int4, "");
    serves(&desk, &int4, " --on qemu --weights int4");
    serves(&desk, &int4, " --on qemu");
    // And a board for int4 weights takes a newer int4 model.
    let newer = int4_network(3);
    desk.write("newer.sealed", &desk.model(&newer, 5));
    let ran = desk.ran("update --flash flash.bin --model newer.sealed --on qemu");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serves(&desk, &newer, " --on qemu");
}

#[test]
fn a_device_in_this_process_is_not_built_for_one_type() {
    let desk = desk();
    for command in [
        "run --flash flash.bin",
        "update --flash flash.bin --model int4.sealed",
    ] {
        let ran = desk.ran(&format!("{command} --weights int4"));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("--weights"), "{}", ran.stderr);
        assert!(counters(&desk).contains("0 boots"), "{}", ran.stderr);
    }
}
