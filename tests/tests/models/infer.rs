//! `infer`: answers of a verified model, and no answer of any other.

use super::workspace::Workspace;

#[test]
fn a_line_a_record_and_a_summary_beside() {
    let workspace = Workspace::new().trained().exported();
    let ran = workspace.done("infer model.sealed data.csv");
    let lines: Vec<Vec<u64>> = ran
        .stdout
        .lines()
        .map(|line| {
            line.split('\t')
                .map(|field| field.parse().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(lines.len(), 180);
    let hits = lines.iter().filter(|fields| fields[1] == fields[2]).count();
    assert!(
        lines
            .iter()
            .zip(0..)
            .all(|(fields, index)| fields.len() == 3 && fields[0] == index)
    );
    let result = workspace.json("infer model.sealed data.csv");
    assert_eq!(
        (&result["records"], &result["correct"]),
        (&180.into(), &hits.into())
    );
    assert_eq!(result["accuracy"], hits as f64 / 180.0);
    let predicted: Vec<u64> = lines.iter().map(|fields| fields[2]).collect();
    assert_eq!(result["predictions"], serde_json::json!(predicted));
    assert!(hits > 170, "{hits}");
    let limited = workspace.json("infer model.sealed data.csv --limit 7");
    assert_eq!(limited["records"], 7);
}

#[test]
fn devices_run_what_was_made_for_them() {
    let workspace = Workspace::new().trained().exported();
    workspace.done("export model.safetensors -o hmac.sealed --scheme hmac --device 0002");
    workspace.done("export model.safetensors -o clear.sealed --clear");
    workspace.done("keygen keys --device 0003 --clear-device --add");
    workspace.done("infer hmac.sealed data.csv --device 0002");
    workspace.done("infer clear.sealed data.csv --device 0003");
    workspace.refused("infer hmac.sealed data.csv", 1, "hmac.sealed is refused");
    workspace.refused(
        "infer model.sealed data.csv --device 0002",
        1,
        "model.sealed is refused",
    );
    workspace.refused(
        "infer model.sealed data.csv --device 0003",
        1,
        "no model key",
    );
    workspace.refused("infer model.sealed data.csv --device 0009", 2, "0009");
    // What would do nothing is not taken.
    for place in ["host", "sim"] {
        for option in ["--board cortex-m4", "--timeout 60", "--device-log"] {
            let infer = format!("infer model.sealed data.csv --on {place} {option}");
            let (name, _) = option.split_once(' ').unwrap_or((option, ""));
            let said = format!(
                "{name} is for a board in QEMU\n  hint: add --on qemu, or leave {name} out"
            );
            workspace.refused(&infer, 2, &said);
        }
    }
}

#[test]
fn a_changed_model_answers_nothing() {
    let workspace = Workspace::new().trained().exported();
    let good = workspace.read("model.sealed");
    for place in [0, 10, 33, 100, 300, good.len() - 1] {
        let mut changed = good.clone();
        changed[place] ^= 4;
        workspace.write("model.sealed", &changed);
        workspace.refused("infer model.sealed data.csv", 1, "model.sealed is refused");
    }
    workspace.write("model.sealed", &good[..good.len() - 1]);
    workspace.refused("infer model.sealed data.csv", 1, "model.sealed is refused");
    workspace.write("model.sealed", b"");
    workspace.refused("infer model.sealed data.csv", 1, "model.sealed is refused");
    workspace.write("model.sealed", &good);
    workspace.done("infer model.sealed data.csv --min-counter 3");
    workspace.refused("infer model.sealed data.csv --min-counter 4", 1, "counter");
    workspace.done("keygen stranger");
    workspace.refused(
        "infer model.sealed data.csv --keys stranger",
        1,
        "model.sealed is refused",
    );
}

/// The device of this build, with its own flash, through sealed requests.
#[test]
fn the_simulated_device_computes_the_hosts_logits() {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("train noise -o model.safetensors --epochs 2");
    for options in [
        "",
        " --clear --reply logits",
        " --scheme hmac --device 0002",
    ] {
        workspace.done(&format!(
            "export model.safetensors -o model.sealed{options}"
        ));
        let device = if options.contains("hmac") {
            "0002"
        } else {
            "0001"
        };
        let on = |place: &str| {
            workspace.json(&format!(
                "infer model.sealed noise --on {place} --device {device}"
            ))
        };
        let (host, sim) = (on("host"), on("sim"));
        assert_eq!(
            (&sim["agree"], &sim["records"]),
            (&30.into(), &30.into()),
            "{options}"
        );
        assert_eq!(sim["predictions"], host["predictions"]);
        // An encrypted model may also stay encrypted in the device's flash, with the same answers.
        let streaming = format!("infer model.sealed noise --on sim --streamed --device {device}");
        if options.contains("--clear") {
            assert_eq!(sim["mode"], "clear");
            workspace.refused(&streaming, 2, "model.sealed is not encrypted");
        } else {
            let streamed = workspace.json(&streaming);
            assert_eq!(
                (&sim["mode"], &streamed["mode"]),
                (&"confidential".into(), &"streamed".into())
            );
            assert_eq!(streamed["agree"], 30, "{options}");
            assert_eq!(streamed["predictions"], host["predictions"]);
        }
        let on_host = format!("infer model.sealed noise --streamed --device {device}");
        workspace.refused(&on_host, 2, "--streamed is for a device");
        assert_eq!(
            (&sim["first_record"], &sim["part"]),
            (&90.into(), &"test".into())
        );
        assert!(host["agree"].is_null());
    }
}

#[test]
fn other_dimensions_are_an_error_of_use() {
    let workspace = Workspace::new().trained().exported();
    workspace.write("narrow.csv", b"0,1,2\n1,3,4\n");
    workspace.refused(
        "infer model.sealed narrow.csv",
        2,
        "2 features, the model takes 6",
    );
    workspace.done("seal narrow.csv narrow");
    workspace.refused(
        "infer model.sealed narrow",
        2,
        "2 features, the model takes 6",
    );
    workspace.refused("infer model.sealed data.csv --on sim", 2, "6-9-7-3");
    workspace.refused("infer model.sealed data.csv --part test", 2, "no part");
    workspace.refused("infer missing.sealed data.csv", 2, "missing.sealed");
}
