//! Manifests that are signed and still no good, indices that nobody signed, and places that changed.

use std::fs;

use sealnet::dataset::{LoadOptions, idx};
use sealnet::dsse;
use sealnet::progress::Silent;
use sealnet::vault::manifest::{Manifest, PAYLOAD_TYPE};
use sealnet::vault::{
    About, Chunk, OpenOptions, Profile, RecordSource, SealOptions, SourceOptions, load_source,
    manifest_name, seal,
};
use sealnet_core::sign::Domain;

use crate::fixture::*;

/// Replaces serial 1's manifest by one whose payload went through `edit`, signed anew, and opens it where
/// nothing is remembered.
fn reopened(edit: impl FnOnce(String) -> String) -> sealnet::error::Error {
    let world = World::sealed();
    let path = world.path(&manifest_name(1));
    let manifest = manifest_of(&fs::read(&path).unwrap());
    let payload = edit(String::from_utf8(manifest.to_json()).unwrap());
    let signer = &world.owner.signer;
    let envelope = dsse::sign_json(PAYLOAD_TYPE, payload.as_bytes(), signer, Domain::Manifest);
    fs::write(&path, envelope).unwrap();
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    world.open().map(drop).expect_err("it must be refused")
}

#[test]
fn a_newer_version_is_an_environment_error() {
    let error = reopened(|json| json.replacen("\"version\": 1", "\"version\": 2, \"more\": {}", 1));
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().contains("newer sealnet, in version 2"),
        "{error}"
    );
    assert!(error.hint().contains("or a later one"), "{}", error.hint());
}

#[test]
fn a_newer_version_is_not_sealed_over_nor_passed_by() {
    let world = World::sealed();
    let newer = |serial: u64| {
        let json = manifest_of(&fs::read(world.path(&manifest_name(1))).unwrap()).to_json();
        let json = String::from_utf8(json).unwrap();
        let json = json
            .replacen("\"version\": 1", "\"version\": 9", 1)
            .replacen("\"serial\": 1", &format!("\"serial\": {serial}"), 1);
        let signer = &world.owner.signer;
        dsse::sign_json(PAYLOAD_TYPE, json.as_bytes(), signer, Domain::Manifest)
    };
    fs::write(world.path(&manifest_name(2)), newer(2)).unwrap();
    for error in [
        world.open().map(drop).unwrap_err(),
        world.seal(&records()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains("newer sealnet"), "{error}");
    }
    // An index of a newer version says the same.
    let paper = World::sealed_as(Profile::PAPER);
    let index = paper.path("paper/index.json");
    let json = fs::read_to_string(&index).unwrap();
    fs::write(&index, json.replacen("\"version\": 1", "\"version\": 9", 1)).unwrap();
    let error = paper.open_as(Profile::PAPER).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("newer sealnet"), "{error}");
}

#[test]
fn shards_larger_than_the_format_allows_are_refused() {
    let error = reopened(|json| {
        json.replacen("\"records\": 100", "\"records\": 786436", 1)
            .replacen("\"records\": 75", "\"records\": 786411", 1)
            .replacen("20,", "786356,", 1)
            .replace("\"records\": 16", "\"records\": 131072")
    });
    assert_eq!(error.exit_code(), 1, "{error}");
    assert!(error.to_string().contains("too large"), "{error}");
    // And they are not made.
    let world = World::new();
    for shard_records in [65_536 * 2, 1 << 20, 65_536] {
        let options = SealOptions {
            shard_records: Some(shard_records),
            ..SealOptions::default()
        };
        let mut wide = records();
        if shard_records == 65_536 {
            // Few enough records, but more than 16 MiB of text.
            wide.shape = vec![600];
            wide.features = vec![1; 60_000];
        }
        let error = world.seal_with(&wide, &options).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.hint().contains("16777216 bytes"), "{}", error.hint());
    }
}

#[test]
fn members_are_exactly_those_of_the_format() {
    type Edit = fn(String) -> String;
    let edits: [Edit; 12] = [
        |json| json.replacen('{', "{\"unknown\": 1,", 1),
        |json| json.replacen('{', "{\"serial\": 1,", 1),
        |json| json.replacen("\"serial\": 1,", "", 1),
        |json| json.replacen("\"serial\": 1", "\"serial\": null", 1),
        |json| json.replacen("\"vault\":", "\"more\": 1, \"vault\":", 1),
        |json| json.replacen("\"version\": 1", "\"version\": 0", 1),
        |json| json.replacen("sealnet-vault", "sealnet-index", 1),
        |json| json.replacen("\"u8\"", "\"f32\"", 1),
        |json| json.replacen("hmac-sha512", "md5", 1),
        |json| json.replacen("hmac-sha512", "sha512", 1),
        |json| json.replacen("\"default\"", "\"paper\"", 1),
        |json| json + "{}",
    ];
    for (n, edit) in edits.into_iter().enumerate() {
        assert_eq!(reopened(edit).exit_code(), 1, "edit {n}");
    }
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let check = |edit: fn(String) -> String| {
        let error = reopened(edit);
        assert_eq!(error.exit_code(), 1);
        error.failures().first().map(|failure| failure.check)
    };
    let records = check(|json| {
        json.replacen("\"records\": 100", "\"records\": 101", 1)
            .replacen("\"records\": 75", "\"records\": 76", 1)
    });
    assert_eq!(records, Some("count"));
    let counts = check(|json| json.replacen("20,", "21,", 1));
    assert_eq!(counts, Some("count"));
    let shards = check(|json| {
        json.replacen("\"records\": 16", "\"records\": 17", 1)
            .replacen("\"records\": 4,", "\"records\": 3,", 1)
    });
    assert_eq!(shards, Some("count"));
    let root = check(|json| {
        let at = json.find("\"root\": \"").unwrap() + 9;
        let digit = if &json[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &json[..at], &json[at + 1..])
    });
    assert_eq!(root, Some("root"));
    for edit in [
        (|json| json.replacen("\"classes\": 5", "\"classes\": 0", 1)) as fn(String) -> String,
        |json| json.replacen("\"train\"", "\"../../etc\"", 1),
        |json| json.replacen("\"small\"", "\"\\u001b[2J\"", 1),
        |json| json.replacen("    2,\n    3", "    4294967296,\n    4294967296", 1),
    ] {
        assert_eq!(
            check(edit),
            None,
            "not a failure of a check: no manifest at all"
        );
    }
}

#[test]
fn an_index_that_lies_is_refused_without_being_believed() {
    let world = World::sealed_as(Profile::PAPER);
    let index = world.path("paper/index.json");
    let whole = fs::read_to_string(&index).unwrap();
    let edits = [
        // More records than there are, in one shard and in all.
        ("\"records\": 4\n", "\"records\": 5\n", 100),
        ("\"records\": 100", "\"records\": 1000000000000", 75),
        (
            "\"shape\": [\n    2,\n    3\n  ]",
            "\"shape\": [65535]",
            100,
        ),
        ("\"shape\": [\n    2,\n    3\n  ]", "\"shape\": []", 100),
        ("sealnet-index", "sealnet-vault", 100),
    ];
    for (from, to, _) in edits {
        assert!(whole.contains(from), "{from}");
        fs::write(&index, whole.replacen(from, to, 1)).unwrap();
        let error = world.open_as(Profile::PAPER).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1, "{to}: {error}");
    }
    fs::write(&index, "[".repeat(100_000)).unwrap();
    assert_eq!(
        world
            .open_as(Profile::PAPER)
            .map(drop)
            .unwrap_err()
            .exit_code(),
        1
    );
}

#[test]
fn an_oversized_manifest_is_not_read() {
    let world = World::sealed();
    let file = fs::File::create(world.path(&manifest_name(2))).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = world.open().map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
}

#[test]
fn plain_data_in_a_vaults_place_is_refused() {
    let world = World::sealed();
    let vault = world.vault();
    let place = vault.to_str().unwrap();
    let options = SourceOptions {
        keys: Some(world.owner.open_keys()),
        open: OpenOptions::default(),
        must_be_vault: false,
        load: LoadOptions::default(),
        memory: world.memory(),
    };
    let sealed = load_source(place, &options, &Silent).unwrap();
    assert_eq!(sealed.dataset, records());
    let origin = sealed.vault.as_ref().unwrap();
    assert_eq!((origin.serial, origin.profile), (Some(1), "default"));
    assert!(origin.manifest_digest.is_some());

    fs::remove_dir_all(&vault).unwrap();
    fs::create_dir(&vault).unwrap();
    idx::write_folder(&vault, &records()).unwrap();
    let error = load_source(place, &options, &Silent).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");

    // Elsewhere the same files are unsealed data, unless a vault was asked for.
    let elsewhere = world.folder.path().join("plain");
    fs::rename(&vault, &elsewhere).unwrap();
    let place = elsewhere.to_str().unwrap();
    let plain = load_source(place, &options, &Silent).unwrap();
    assert!(plain.vault.is_none() && plain.quarantined().is_empty());
    assert_eq!(plain.dataset.features, records().features);
    let strict = SourceOptions {
        must_be_vault: true,
        ..options
    };
    let error = load_source(place, &strict, &Silent).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_that_is_pointed_elsewhere_is_noticed() {
    let world = World::sealed();
    let path = |name: &str| world.folder.path().join(name);
    let link = |target: &str| {
        let _ = fs::remove_file(path("link"));
        std::os::unix::fs::symlink(path(target), path("link")).unwrap();
    };
    let options = SourceOptions {
        keys: Some(world.owner.open_keys()),
        open: OpenOptions::default(),
        must_be_vault: false,
        load: LoadOptions::default(),
        memory: world.memory(),
    };
    let load =
        |options: &SourceOptions<'_>| load_source(path("link").to_str().unwrap(), options, &Silent);
    link("vault");
    assert!(load(&options).unwrap().vault.is_some());
    // To plain data, which held no vault under its own name.
    fs::create_dir(path("plain")).unwrap();
    idx::write_folder(&path("plain"), &records()).unwrap();
    link("plain");
    let error = load(&options).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    assert!(error.to_string().contains("held a vault"), "{error}");
    // To another data set of the same owner, whole and genuine.
    let other = World::sealed();
    copy_folder(&other.vault(), &path("other"));
    link("other");
    refused(load(&options).map(drop), &[("serial", None)]);
    // Unless it is asked for by its id.
    let id = manifest_of(&fs::read(other.path(&manifest_name(1))).unwrap()).dataset_id;
    let asked = SourceOptions {
        open: OpenOptions {
            dataset_id: Some(id),
            ..OpenOptions::default()
        },
        ..options.clone()
    };
    assert!(load(&asked).unwrap().vault.is_some());
    assert!(load(&options).unwrap().vault.is_some(), "now it is known");
}

#[test]
fn a_vault_that_fails_gives_no_source() {
    let world = World::sealed();
    flip(&world.tokens(&world.shards(1)[6]), 30, 0);
    let vault = world.vault();
    let options = SourceOptions {
        keys: Some(world.owner.open_keys()),
        open: OpenOptions::default(),
        must_be_vault: false,
        load: LoadOptions::default(),
        memory: world.memory(),
    };
    let verdict = load_source(vault.to_str().unwrap(), &options, &Silent);
    refused(verdict.map(drop), &[("decrypt", Some(96))]);
    let keyless = SourceOptions {
        keys: None,
        ..options
    };
    let error = load_source(vault.to_str().unwrap(), &keyless, &Silent).map(drop);
    assert_eq!(error.unwrap_err().exit_code(), 2);
}

/// What an index says is bounded while it is read, not once it lies in memory.
#[test]
fn an_unsigned_index_does_not_decide_how_much_memory_it_takes() {
    let world = World::sealed_as(Profile::PAPER);
    let index = fs::read_to_string(world.path("paper/index.json")).unwrap();
    let long = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let said = |member: &str, list: String| {
        let mut index = index.clone();
        index[member] = serde_json::from_str(&list).unwrap();
        let error = Manifest::from_json(index.to_string().as_bytes(), false).unwrap_err();
        error.to_string()
    };
    for (member, list, most) in [
        ("shape", long("1", 9), 8),
        ("parts", long(r#"{"name":"a","records":1}"#, 65), 64),
        ("class_counts", long("0", 65_537), 65_536),
        ("class_names", long("\"\"", 65_537), 65_536),
        (
            "scaling",
            long(r#"{"name":"","offset":0.0,"scale":1.0}"#, 65_536),
            65_535,
        ),
    ] {
        let error = said(member, list);
        assert!(
            error.contains(&format!("expected a list of at most {most} items")),
            "{member}: {error}"
        );
    }
    // Up to there it is a list like any other.
    let mut longest = index;
    longest["shape"] = serde_json::from_str(&long("1", 8)).unwrap();
    Manifest::from_json(longest.to_string().as_bytes(), false).unwrap();
}

#[test]
fn no_more_records_are_sealed_or_opened_than_indices_can_name() {
    struct Vast(About);
    impl RecordSource for Vast {
        fn about(&self) -> &About {
            &self.0
        }

        fn read(&self, _: u64, _: usize) -> sealnet::error::Result<Chunk<'_>> {
            unreachable!("nothing is read")
        }
    }
    let world = World::new();
    let mut about = About::of(&records());
    about.records = 1 << 32;
    about.parts[0].records = about.records - about.parts[1].records;
    let keys = world.owner.seal_keys();
    let options = SealOptions::default();
    let (store, memory) = (world.store(), world.memory());
    let sealed = seal(&Vast(about), &store, keys, &options, &memory, &Silent);
    let error = sealed.map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(
        error.to_string().contains("more than 4294967295 records"),
        "{error}"
    );
    let error = reopened(|json| {
        json.replacen("\"records\": 100", "\"records\": 4294967296", 1)
            .replacen("\"records\": 75", "\"records\": 4294967271", 1)
    });
    assert!(
        error.to_string().contains("more than 4294967295 records"),
        "{error}"
    );
}
