//! Merkle tree hashing after RFC 9162, section 2.1.1, with SHA-512 in place of SHA-256.
//!
//! ```text
//! MTH({})    = SHA-512("")
//! MTH({d})   = SHA-512(0x00 ‖ d)                          leaf
//! MTH(D[n])  = SHA-512(0x01 ‖ MTH(D[0:k]) ‖ MTH(D[k:n]))  node; k the largest power of two below n
//! ```
//!
//! Leaf and node hash differ in their first byte, so that a node can never be passed off as a leaf. The
//! root alone does not say how many leaves there are: whoever signs it signs the count too.
//!
//! **Shards.** Cut the leaves into shards of one power of two each, the last one perhaps shorter. Every cut
//! of the tree above shard level then falls between shards, so the tree over the shards' own roots, built
//! by the same rule, has the root of the whole. A [`RootBuilder`] that is given subroots in place of leaf
//! hashes computes it.

use crate::sign::{Digest512, sha512};

/// Hash of one leaf's data, `SHA-512(0x00 ‖ data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Digest512 {
    sha512(&[&[0], data])
}

/// Hash of a node from its children's, `SHA-512(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Digest512, right: &Digest512) -> Digest512 {
    sha512(&[&[1], left, right])
}

/// Root of the tree without leaves, `SHA-512("")`.
#[must_use]
pub fn empty_root() -> Digest512 {
    sha512(&[])
}

/// Root over leaf hashes (or over the subroots of equal shards).
#[must_use]
pub fn root_of<'d>(leaves: impl IntoIterator<Item = &'d Digest512>) -> Digest512 {
    let mut builder = RootBuilder::new();
    for leaf in leaves {
        builder.push(*leaf);
    }
    builder.root()
}

/// Computes a root from leaf hashes that come one after another, in 4 KiB however many they are.
///
/// It counts in binary: slot `i` holds the root of a full subtree of `2^i` leaves whenever bit `i` of the
/// count is set. A new leaf is a carry that merges with every full slot it meets.
#[derive(Clone, Debug)]
pub struct RootBuilder {
    count: u64,
    slots: [Digest512; 64],
}

impl RootBuilder {
    /// A tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            slots: [[0; 64]; 64],
        }
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Digest512) {
        let mut carry = leaf;
        for (level, slot) in self.slots.iter_mut().enumerate() {
            if (self.count >> level) & 1 == 0 {
                *slot = carry;
                break;
            }
            carry = node_hash(slot, &carry);
        }
        // 2^64 leaves cannot be hashed in a lifetime.
        self.count = self.count.wrapping_add(1);
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The root over the leaves so far.
    #[must_use]
    pub fn root(&self) -> Digest512 {
        self.slots
            .iter()
            .enumerate()
            .filter(|(level, _)| (self.count >> level) & 1 == 1)
            .map(|(_, slot)| slot)
            // From the smallest subtree, the right edge, to the largest, the left.
            .fold(None, |right, left| {
                Some(right.map_or(*left, |right| node_hash(left, &right)))
            })
            .unwrap_or_else(empty_root)
    }
}

impl Default for RootBuilder {
    fn default() -> Self {
        Self::new()
    }
}
