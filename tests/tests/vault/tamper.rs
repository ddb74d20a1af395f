//! A storage that changes, drops, repeats, reorders and swaps. Each is refused with its own reason, and the
//! record is named.

use std::fs;

use sealnet::vault::manifest_name;
use sealnet_core::record::merkle;

use crate::fixture::*;

/// Bytes of a line with its LF: 6 features and 74 bytes make 80, a token of 153, a text of 204.
const LINE: usize = 205;

#[test]
fn every_changed_byte_of_a_shard_is_its_own_records_failure() {
    let world = World::sealed();
    let shard = world.tokens(&world.shards(1)[6]);
    let whole = fs::read(&shard).unwrap();
    assert_eq!(whole.len(), 4 * LINE);
    for byte in 0..whole.len() {
        // Every bit of the first line, and one bit of each byte of the others.
        let bits = if byte < LINE {
            0..8
        } else {
            byte as u8 % 8..byte as u8 % 8 + 1
        };
        for bit in bits {
            flip(&shard, byte, bit);
            world.refuses(&[("decrypt", Some(96 + (byte / LINE) as u64))]);
            fs::write(&shard, &whole).unwrap();
        }
    }
    world.open().expect("it is whole again");
}

#[test]
fn every_truncation_of_a_shard_is_refused() {
    let world = World::sealed();
    let shard = world.tokens(&world.shards(1)[6]);
    let whole = fs::read(&shard).unwrap();
    for length in 0..whole.len() {
        fs::write(&shard, &whole[..length]).unwrap();
        let error = world.open().map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let first = &error.failures()[0];
        if length > 3 * LINE {
            assert_eq!(
                (first.check, first.index),
                ("decrypt", Some(99)),
                "{length}"
            );
        } else {
            assert_eq!((first.check, first.index), ("count", None), "{length}");
        }
    }
}

#[test]
fn a_dropped_record_is_counted_and_named() {
    let world = World::sealed();
    edit_lines(&world.tokens(&world.shards(1)[2]), |lines| {
        lines.remove(5);
    });
    world.refuses(&[("count", None), ("count", Some(37))]);
}

#[test]
fn a_repeated_record_is_counted_and_named() {
    let world = World::sealed();
    edit_lines(&world.tokens(&world.shards(1)[2]), |lines| {
        lines.push(lines[5].clone());
    });
    world.refuses(&[("count", None), ("count", Some(37))]);
}

#[test]
fn a_record_put_in_anothers_place_is_named() {
    let world = World::sealed();
    edit_lines(&world.tokens(&world.shards(1)[2]), |lines| {
        lines[9] = lines[5].clone();
    });
    world.refuses(&[("index", Some(41))]);
}

#[test]
fn records_swapped_within_a_shard_are_named() {
    let world = World::sealed();
    edit_lines(&world.tokens(&world.shards(1)[0]), |lines| {
        lines.swap(3, 12);
    });
    world.refuses(&[("index", Some(3)), ("index", Some(12))]);
}

#[test]
fn records_swapped_across_shards_are_named() {
    let world = World::sealed();
    let shards = world.shards(1);
    let (a, b) = (world.tokens(&shards[1]), world.tokens(&shards[4]));
    let (mut first, mut second) = (lines(&a), lines(&b));
    std::mem::swap(&mut first[0], &mut second[15]);
    write_lines(&a, &first);
    write_lines(&b, &second);
    world.refuses(&[("index", Some(16)), ("index", Some(79))]);
}

#[test]
fn swapped_shards_are_refused() {
    let world = World::sealed();
    let shards = world.shards(1);
    let swap = |a, b| {
        let (first, second) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(&a, second).unwrap();
        fs::write(&b, first).unwrap();
    };
    swap(world.tokens(&shards[0]), world.tokens(&shards[3]));
    let mut expected = all("index", 0..16);
    expected.extend(all("index", 48..64));
    world.refuses(&expected);
    // With their leaves, which do not hash to the subroots there: nobody's innocence can be shown.
    swap(world.leaves(&shards[0]), world.leaves(&shards[3]));
    expected.insert(0, ("root", None));
    expected.insert(17, ("root", None));
    world.refuses(&expected);
}

#[test]
fn a_shard_that_is_gone_empty_or_huge_is_counted() {
    let world = World::sealed();
    let shard = world.tokens(&world.shards(1)[2]);
    fs::write(&shard, "").unwrap();
    let mut expected = vec![("count", None)];
    expected.extend(all("count", 32..48));
    world.refuses(&expected);
    fs::write(&shard, "\n".repeat(20_000)).unwrap();
    world.refuses(&[("count", None)]);
    // A sparse file of a terabyte is not read.
    fs::File::create(&shard).unwrap().set_len(1 << 40).unwrap();
    world.refuses(&[("count", None)]);
    fs::remove_file(&shard).unwrap();
    world.refuses(&[("count", None)]);
}

#[test]
fn damaged_leaves_harm_no_record_and_are_reported() {
    let world = World::sealed();
    let shards = world.shards(1);
    let leaves = world.leaves(&shards[2]);
    let whole = fs::read(&leaves).unwrap();
    for byte in [0, 63, 64, whole.len() - 1] {
        flip(&leaves, byte, 5);
        let (data, opened) = world.open().unwrap();
        assert_eq!(data, records());
        assert_eq!(opened.warnings.len(), 1);
        assert!(opened.warnings[0].contains("shard 2: its leaves are damaged"));
        fs::write(&leaves, &whole).unwrap();
    }
    for other in [&whole[..whole.len() - 1], &[&whole[..], &[0]].concat()] {
        fs::write(&leaves, other).unwrap();
        assert_eq!(world.open().unwrap().1.warnings.len(), 1);
    }
    fs::remove_file(&leaves).unwrap();
    assert!(world.open().unwrap().1.warnings[0].contains("gone"));
    // But with a record damaged too, whose failure it is cannot be shown any more.
    flip(&world.tokens(&shards[2]), 7, 1);
    let expected = [("root", None), ("decrypt", Some(32))];
    world.refuses(&expected);
    // The tree's own nodes hash to the same root and are no leaves for it.
    let hashes: Vec<[u8; 64]> = whole.as_chunks().0.to_vec();
    let nodes: Vec<_> = hashes
        .chunks(2)
        .map(|pair| merkle::node_hash(&pair[0], &pair[1]))
        .collect();
    for forged in [nodes.concat(), merkle::root_of(&hashes).to_vec()] {
        fs::write(&leaves, forged).unwrap();
        world.refuses(&expected);
    }
}

#[test]
fn a_record_of_an_older_serial_is_not_the_one_sealed() {
    // The same data set, sealed again: an old token of the same record is valid by itself.
    let world = World::sealed();
    let old = lines(&world.tokens(&world.shards(1)[2]));
    world.seal(&records()).unwrap();
    edit_lines(&world.tokens(&world.shards(2)[2]), |lines| {
        lines[4] = old[4].clone();
    });
    world.refuses(&[("root", Some(36))]);
}

#[test]
fn a_record_of_another_data_set_fails_its_tag() {
    let (world, other) = (World::sealed(), World::sealed());
    let foreign = lines(&other.tokens(&other.shards(1)[2]));
    edit_lines(&world.tokens(&world.shards(1)[2]), |lines| {
        lines[4] = foreign[4].clone();
    });
    world.refuses(&[("tag", Some(36))]);
}

#[test]
fn every_changed_byte_of_the_manifest_is_refused() {
    let world = World::sealed();
    let manifest = world.path(&manifest_name(1));
    let whole = fs::read(&manifest).unwrap();
    for byte in 0..whole.len() {
        flip(&manifest, byte, (byte % 8) as u8);
        let error = world.open().map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1, "byte {byte}: {error}");
        let check = error.failures()[0].check;
        // What lies outside of the signature has one form only.
        assert_eq!(check, "signature", "byte {byte}");
        fs::write(&manifest, &whole).unwrap();
    }
    for length in 0..whole.len() {
        fs::write(&manifest, &whole[..length]).unwrap();
        assert_eq!(
            world.open().map(drop).unwrap_err().exit_code(),
            1,
            "{length}"
        );
    }
}

#[test]
fn the_manifest_of_another_signer_is_refused() {
    let mut world = World::sealed();
    world.owner.signer = Owner::new(8).signer;
    let error = world.seal(&records()).map(drop);
    // Sealing over a vault that is not the signer's is refused too.
    refused(error, &[("signature", None)]);
    world.owner.trusted = Owner::new(8).trusted;
    world.refuses(&[("signature", None)]);
}

#[test]
fn the_manifest_of_another_data_set_is_refused() {
    let (world, other) = (World::sealed(), World::sealed());
    let name = manifest_name(1);
    fs::copy(other.path(&name), world.path(&name)).unwrap();
    world.refuses(&[("serial", None)]);
    // Where nothing is remembered of the place, the shards that it names are still not there.
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    world.refuses(&[("count", None); 7]);
    // With them it is a whole other vault of the same owner: known to nobody here, and said so.
    copy_folder(&other.vault(), &world.vault());
    let contact = world.open().unwrap().1.contact;
    assert_eq!(contact, Some(sealnet::state::Contact::First));
}

#[test]
fn wrong_keys_are_named_once() {
    let mut world = World::sealed();
    let right = Owner::new(7);
    let wrong = Owner::new(8);
    world.owner.vault = wrong.vault;
    world.refuses(&[("decrypt", None)]);
    world.owner.vault = right.vault;
    world.owner.tag = wrong.tag;
    world.refuses(&[("tag", None)]);
}
