//! Security counters: a publisher signs no two models under one, and whoever runs models takes no older one.

use sealnet_core::artefact::Sealed;

use super::workspace::Workspace;

fn counter(workspace: &Workspace, name: &str) -> u32 {
    let bytes = workspace.read(name);
    let sealed = Sealed::parse(&bytes).unwrap();
    sealed.untrusted_header().security_counter
}

#[test]
fn export_counts_for_each_signing_key() {
    let workspace = Workspace::new().trained();
    let export = "export model.safetensors -o model.sealed";
    let first = workspace.json(export);
    assert_eq!(first["security_counter"], 1);
    assert!(first["last_security_counter"].is_null());
    let ran = workspace.done(export);
    assert!(
        ran.stderr
            .contains("the last security counter of this key was 1")
    );
    assert_eq!(counter(&workspace, "model.sealed"), 2);
    workspace.done(&format!("{export} --counter 9"));
    workspace.done("export model.safetensors -o other.sealed");
    assert_eq!(counter(&workspace, "other.sealed"), 10);
    // A device's HMAC key is another signer.
    workspace.done("export model.safetensors -o hmac.sealed --scheme hmac --device 0002");
    assert_eq!(counter(&workspace, "hmac.sealed"), 1);
}

#[test]
fn a_counter_is_not_used_again_unless_asked_for() {
    let workspace = Workspace::new().trained().exported();
    let before = workspace.read("model.sealed");
    let export = "export model.safetensors -o model.sealed";
    for used in [3, 2, 0] {
        workspace.refused(&format!("{export} --counter {used}"), 2, "is not above 3");
        assert_eq!(workspace.read("model.sealed"), before);
    }
    let ran = workspace.done(&format!("{export} --counter 2 --reuse-counter"));
    assert!(ran.stderr.contains("warning:"), "{}", ran.stderr);
    assert_eq!(counter(&workspace, "model.sealed"), 2);
    // The highest stays the one to go on from.
    workspace.done(export);
    assert_eq!(counter(&workspace, "model.sealed"), 4);
    let ran = workspace.run(&format!("{export} --reuse-counter"));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

/// What is refused for its content takes no counter.
#[test]
fn a_refused_export_takes_no_counter() {
    let workspace = Workspace::new().trained();
    let weights = workspace.read("model.safetensors");
    workspace.touch("model.safetensors");
    workspace.refused(
        "export model.safetensors -o model.sealed",
        1,
        "other weights",
    );
    workspace.write("model.safetensors", &weights);
    workspace.done("export model.safetensors -o model.sealed");
    assert_eq!(counter(&workspace, "model.sealed"), 1);
}

#[test]
fn an_older_model_is_refused_once_a_newer_one_was_seen() {
    let workspace = Workspace::new().trained().exported();
    workspace.done("export model.safetensors -o newer.sealed --name model");
    let infer = |model: &str, options: &str| format!("infer {model}.sealed data.csv{options}");
    let ran = workspace.done(&infer("model", ""));
    assert!(ran.stderr.contains("cannot be known"), "{}", ran.stderr);
    let ran = workspace.done(&infer("newer", ""));
    assert!(!ran.stderr.contains("cannot be known"), "{}", ran.stderr);
    workspace.refused(&infer("model", ""), 1, "counter is 3, and 4");
    workspace.refused(&infer("model", " --min-counter 4"), 1, "model.sealed");
    let ran = workspace.done(&infer("model", " --min-counter 3"));
    assert!(ran.stderr.contains("an older one"), "{}", ran.stderr);
    // Taken on purpose once, it stays old.
    workspace.refused(&infer("model", ""), 1, "counter is 3, and 4");
    workspace.done(&infer("newer", ""));

    // A model that does not verify counts for nothing.
    workspace.done("export model.safetensors -o fifth.sealed --name model --counter 6");
    workspace.touch("fifth.sealed");
    workspace.refused(&infer("fifth", ""), 1, "fifth.sealed is refused");
    workspace.done(&infer("newer", ""));

    std::fs::write(workspace.path("state/counters.json"), "{").unwrap();
    workspace.refused(&infer("newer", ""), 2, "counters.json is damaged");
    workspace.refused(
        "export model.safetensors -o x.sealed",
        2,
        "counters.json is damaged",
    );
}

/// One publisher's models share one row of counters, as on a device: a name that was not met does not begin anew.
#[test]
fn an_older_model_is_refused_under_another_name_too() {
    let workspace = Workspace::new().trained();
    workspace.done("export model.safetensors -o v1.sealed --name m");
    workspace.done("export model.safetensors -o v2.sealed --name n");
    workspace.done("infer v2.sealed data.csv");
    workspace.refused("infer v1.sealed data.csv", 1, "counter is 1, and 2");
    let ran = workspace.done("infer v1.sealed data.csv --min-counter 1");
    assert!(ran.stderr.contains("an older one"), "{}", ran.stderr);
    workspace.refused("infer v1.sealed data.csv", 1, "in model \"n\"");
    workspace.done("infer v2.sealed data.csv");
    // Another publisher's key counts for itself.
    workspace.done("export model.safetensors -o hmac.sealed --scheme hmac --device 0002");
    let ran = workspace.done("infer hmac.sealed data.csv --device 0002");
    assert!(ran.stderr.contains("cannot be known"), "{}", ran.stderr);
}
