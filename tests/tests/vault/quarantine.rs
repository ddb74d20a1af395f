//! Setting tampered records aside: as many as allowed, and only those whose own failure is proved.

use std::fs;

use sealnet::vault::Tolerance::{Percent, Records};

use crate::fixture::*;

/// Two records that do not decrypt and two that were swapped: 4 of 100.
fn tampered() -> World {
    let world = World::sealed();
    let shards = world.shards(1);
    flip(&world.tokens(&shards[0]), 3 * 205 + 50, 1);
    flip(&world.tokens(&shards[4]), 14 * 205 + 50, 1);
    edit_lines(&world.tokens(&shards[6]), |lines| lines.swap(0, 1));
    world
}

const BAD: [(&str, u64); 4] = [
    ("decrypt", 3),
    ("decrypt", 78),
    ("index", 96),
    ("index", 97),
];

#[test]
fn no_more_than_allowed() {
    let world = tampered();
    let expected: Vec<_> = BAD.map(|(check, index)| (check, Some(index))).into();
    for too_few in [Records(0), Records(3), Percent(3.9), Percent(0.0)] {
        let verdict = world.open_allowing(too_few);
        refused(verdict.map(drop), &expected);
    }
    for enough in [Records(4), Records(100), Percent(4.0), Percent(100.0)] {
        let (data, opened) = world.open_allowing(enough).unwrap();
        let aside: Vec<_> = opened
            .quarantined
            .iter()
            .map(|finding| (finding.kind.name(), finding.index.unwrap()))
            .collect();
        assert_eq!(aside, BAD);
        assert_eq!(data.count(), 96);
        let parts: Vec<_> = data.parts.iter().map(|p| (p.start, p.len)).collect();
        assert_eq!(parts, [(0, 74), (74, 22)]);
        let all = records();
        let good = |index: &usize| BAD.iter().all(|(_, bad)| *bad != *index as u64);
        for (left, index) in (0..100).filter(good).enumerate() {
            assert_eq!(data.features_of(left), all.features_of(index));
            assert_eq!(data.labels[left], all.labels[index]);
        }
    }
}

#[test]
fn what_is_not_one_records_own_failure_is_fatal() {
    let fatal = |world: &World, check: &str| {
        let error = world.open_allowing(Percent(100.0)).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert_eq!(error.failures()[0].check, check, "{error}");
    };
    let count = tampered();
    edit_lines(&count.tokens(&count.shards(1)[0]), |lines| {
        lines.remove(9);
    });
    fatal(&count, "count");

    let root = tampered();
    fs::remove_file(root.leaves(&root.shards(1)[0])).unwrap();
    fatal(&root, "root");

    let serial = tampered();
    let old = serial.folder.path().join("old");
    copy_folder(&serial.vault(), &old);
    serial.seal(&records()).unwrap();
    fs::remove_dir_all(serial.vault()).unwrap();
    copy_folder(&old, &serial.vault());
    fatal(&serial, "serial");

    let mut signature = tampered();
    signature.owner.trusted = Owner::new(8).trusted;
    fatal(&signature, "signature");
}

#[test]
fn a_vault_of_which_nothing_is_left_is_refused() {
    let world = World::sealed();
    let shards = world.shards(1);
    for shard in &shards {
        edit_lines(&world.tokens(shard), |lines| {
            for line in lines {
                line.replace_range(40..41, if &line[40..41] == "A" { "B" } else { "A" });
            }
        });
    }
    let verdict = world.open_allowing(Percent(100.0));
    refused(verdict.map(drop), &all("decrypt", 0..100));
}
