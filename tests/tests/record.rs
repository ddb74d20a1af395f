//! Record tags bind a record to its place; Merkle roots are those of RFC 9162, section 2.1.1.

use proptest::prelude::*;
use sealnet_core::record::merkle::{RootBuilder, empty_root, leaf_hash, node_hash, root_of};
use sealnet_core::record::{
    DatasetId, RECORD_OVERHEAD, Record, Tag, TagKey, TagMismatch, TagScheme, Tagger, decode, encode,
};
use sealnet_core::sign::Digest512;
use sealnet_core::wire::WireError;
use sha2::{Digest, Sha512};

const DATASET: DatasetId = DatasetId::from_bytes(*b"a data set's id.");

fn taggers() -> [Tagger; 2] {
    let tagger = Tagger::HmacSha512(TagKey::from_bytes([7; 64]));
    assert_eq!(tagger.scheme(), TagScheme::HmacSha512);
    [Tagger::Sha512, tagger]
}

#[test]
fn the_tags_input_is_as_documented() {
    let record = Record {
        index: 0x0102_0304_0506_0708,
        label: 0x0a0b,
        features: b"pixels",
    };
    let mut input = b"sealnet/v1/record\0a data set's id.".to_vec();
    input.extend([8, 7, 6, 5, 4, 3, 2, 1, 0x0b, 0x0a, 1, 6, 0, 0, 0]);
    input.extend(b"pixels");

    let plain: [u8; 64] = Sha512::digest(&input).into();
    assert_eq!(Tagger::Sha512.tag(&DATASET, &record).to_bytes(), plain);

    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<Sha512>::new_from_slice(&[7; 64]).expect("any length is a key");
    mac.update(&input);
    let keyed: [u8; 64] = mac.finalize().into_bytes().into();
    assert_eq!(taggers()[1].tag(&DATASET, &record).to_bytes(), keyed);
}

#[test]
fn every_bit_of_dataset_index_label_features_and_tag_is_bound() {
    let features: Vec<u8> = (0..40).collect();
    let record = Record {
        index: 5,
        label: 3,
        features: &features,
    };
    for tagger in taggers() {
        let tag = tagger.tag(&DATASET, &record);
        let refused = |dataset: &DatasetId, record: &Record<'_>, tag: &Tag| {
            assert_eq!(
                tagger.verify(dataset, record, tag),
                Err(TagMismatch),
                "{record:?}"
            );
        };
        assert_eq!(tagger.verify(&DATASET, &record, &tag), Ok(()));
        for bit in 0..128 {
            let mut id = DATASET.to_bytes();
            id[bit / 8] ^= 1 << (bit % 8);
            refused(&DatasetId::from_bytes(id), &record, &tag);
        }
        for bit in 0..64 {
            refused(
                &DATASET,
                &Record {
                    index: record.index ^ (1 << bit),
                    ..record
                },
                &tag,
            );
        }
        for bit in 0..16 {
            refused(
                &DATASET,
                &Record {
                    label: record.label ^ (1 << bit),
                    ..record
                },
                &tag,
            );
        }
        for bit in 0..features.len() * 8 {
            let mut changed = features.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(
                &DATASET,
                &Record {
                    features: &changed,
                    ..record
                },
                &tag,
            );
        }
        for len in 0..features.len() {
            refused(
                &DATASET,
                &Record {
                    features: &features[..len],
                    ..record
                },
                &tag,
            );
        }
        let longer = [features.as_slice(), &[0]].concat();
        refused(
            &DATASET,
            &Record {
                features: &longer,
                ..record
            },
            &tag,
        );
        for bit in 0..512 {
            let mut changed = tag.to_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(&DATASET, &record, &Tag::from_bytes(changed));
        }
    }
}

#[test]
fn a_key_makes_the_difference_between_the_schemes() {
    let record = Record {
        index: 0,
        label: 0,
        features: &[],
    };
    let other = Tagger::HmacSha512(TagKey::from_bytes([8; 64]));
    let [plain, keyed] = taggers();
    let tag = keyed.tag(&DATASET, &record);
    assert_eq!(plain.verify(&DATASET, &record, &tag), Err(TagMismatch));
    assert_eq!(other.verify(&DATASET, &record, &tag), Err(TagMismatch));
    let forged = plain.tag(&DATASET, &record);
    assert_eq!(keyed.verify(&DATASET, &record, &forged), Err(TagMismatch));
    assert_eq!(format!("{keyed:?}"), "HmacSha512(TagKey(..))");
}

#[test]
fn a_record_is_laid_out_as_documented() {
    let record = Record {
        index: 0x0102_0304_0506_0708,
        label: 0x0a0b,
        features: b"pixels",
    };
    let tag = Tag::from_bytes([0xcc; 64]);
    let mut out = [0; 100];
    let len = encode(&record, &tag, &mut out).expect("it fits");
    assert_eq!(len, 6 + RECORD_OVERHEAD);
    let expected = [
        [8, 7, 6, 5, 4, 3, 2, 1, 0x0b, 0x0a].as_slice(),
        b"pixels",
        &[0xcc; 64],
    ]
    .concat();
    assert_eq!(out[..len], expected);
    assert_eq!(
        encode(&record, &tag, &mut out[..len - 1]),
        Err(WireError::NoSpace)
    );
    for short in 0..RECORD_OVERHEAD {
        assert_eq!(decode(&out[..short]).err(), Some(WireError::Truncated));
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        index: u64,
        label: u16,
        features in prop::collection::vec(any::<u8>(), 0..1000),
        tag in prop::collection::vec(any::<u8>(), 64),
    ) {
        let record = Record { index, label, features: &features };
        let tag = Tag::from_bytes(tag.try_into().expect("64 bytes"));
        let mut out = vec![0; features.len() + RECORD_OVERHEAD];
        prop_assert_eq!(encode(&record, &tag, &mut out), Ok(out.len()));
        prop_assert_eq!(decode(&out), Ok((record, tag)));
    }

    #[test]
    fn shards_of_a_power_of_two_leave_the_root_unchanged(count in 0..600_usize, level in 0..9_usize) {
        let leaves = leaves(count);
        let subroots: Vec<Digest512> =
            leaves.chunks(1_usize << level).map(|shard| root_of(shard.iter())).collect();
        prop_assert_eq!(root_of(&subroots), root_of(&leaves));
    }
}

#[test]
fn leaf_node_and_empty_root_are_domain_separated_hashes() {
    let hash = |bytes: &[u8]| -> Digest512 { Sha512::digest(bytes).into() };
    let (l, r) = (hash(b"l"), hash(b"r"));
    assert_eq!(empty_root(), hash(b""));
    assert_eq!(leaf_hash(b"data"), hash(b"\0data"));
    assert_eq!(node_hash(&l, &r), hash(&[&[1], l.as_slice(), &r].concat()));
    assert_ne!(
        node_hash(&l, &r),
        leaf_hash(&[l, r].concat()),
        "a node is not a leaf"
    );
}

#[test]
fn roots_equal_the_recursive_definition() {
    let data: Vec<Vec<u8>> = (0..70_u8).map(|i| vec![i; usize::from(i % 5)]).collect();
    let mut builder = RootBuilder::new();
    for n in 0..=data.len() {
        let expected = recursive(&data[..n]);
        assert_eq!(builder.root(), expected, "{n} leaves");
        assert_eq!(builder.count(), n as u64);
        let hashes: Vec<_> = data[..n].iter().map(|d| leaf_hash(d)).collect();
        assert_eq!(root_of(&hashes), expected, "{n} leaves");
        for level in 0..=7 {
            let shards = data[..n].chunks(1 << level);
            let subroots: Vec<_> = shards.map(recursive).collect();
            assert_eq!(
                root_of(&subroots),
                expected,
                "{n} leaves in shards of {}",
                1 << level
            );
        }
        if let Some(next) = data.get(n) {
            builder.push(leaf_hash(next));
        }
    }
}

/// RFC 9162, section 2.1.5, and RFC 6962, section 2.1.3 draw the same tree of seven leaves.
#[test]
fn the_published_tree_of_seven_leaves() {
    let data: Vec<[u8; 1]> = (0..7).map(|i| [i]).collect();
    let [a, b, c, d, e, f, j] = [0, 1, 2, 3, 4, 5, 6].map(|i: u8| leaf_hash(&[i]));
    let (g, h, i) = (node_hash(&a, &b), node_hash(&c, &d), node_hash(&e, &f));
    let (k, l) = (node_hash(&g, &h), node_hash(&i, &j));
    let root_at = |n: usize| {
        root_of(
            data[..n]
                .iter()
                .map(|d| leaf_hash(d))
                .collect::<Vec<_>>()
                .iter(),
        )
    };
    assert_eq!(root_at(7), node_hash(&k, &l));
    // The same section's earlier roots: hash0 of 3, hash1 of 4, hash2 of 6 leaves.
    assert_eq!(root_at(3), node_hash(&g, &c));
    assert_eq!(root_at(4), k);
    assert_eq!(root_at(6), node_hash(&k, &i));
}

#[test]
fn order_count_and_every_leaf_change_the_root() {
    let leaves = leaves(33);
    let root = root_of(&leaves);
    let mut seen = vec![root];
    for i in 0..leaves.len() {
        let mut changed = leaves.clone();
        changed[i][0] ^= 1;
        seen.push(root_of(&changed));
        let mut dropped = leaves.clone();
        dropped.remove(i);
        seen.push(root_of(&dropped));
        let mut repeated = leaves.clone();
        repeated.insert(i, leaves[i]);
        seen.push(root_of(&repeated));
        for j in i + 1..leaves.len() {
            let mut swapped = leaves.clone();
            swapped.swap(i, j);
            seen.push(root_of(&swapped));
        }
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "no two of these trees share a root");
}

fn leaves(count: usize) -> Vec<Digest512> {
    (0..count).map(|i| leaf_hash(&i.to_le_bytes())).collect()
}

/// The definition of RFC 9162, section 2.1.1, word for word.
fn recursive(data: &[Vec<u8>]) -> Digest512 {
    match data {
        [] => Sha512::digest([]).into(),
        [d] => Sha512::digest([&[0], d.as_slice()].concat()).into(),
        _ => {
            let mut k = 1;
            while k * 2 < data.len() {
                k *= 2;
            }
            let (left, right) = (recursive(&data[..k]), recursive(&data[k..]));
            Sha512::digest([&[1], left.as_slice(), &right].concat()).into()
        }
    }
}
