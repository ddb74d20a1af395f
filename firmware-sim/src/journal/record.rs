//! One journal record; the table is in the [module docs](super).

use sealnet_core::protocol::{SlotName, UpdateOutcome};

use crate::crc::crc32;

/// Bytes a record.
pub const RECORD_LEN: usize = 32;

/// The counters that survive a reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Boots so far.
    pub boot: u32,
    /// The lowest security counter that a model may carry.
    pub security: u32,
    /// No request counter up to here is accepted after a reset.
    pub requests: u64,
}

impl Counters {
    /// The greater of each counter.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            boot: self.boot.max(other.boot),
            security: self.security.max(other.security),
            requests: self.requests.max(other.requests),
        }
    }
}

/// Which slot is active, and where an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Where the model lies that boots.
    pub active: SlotName,
    /// What is to be done with the model in the other one.
    pub trial: Trial,
    /// What became of the last update.
    pub outcome: UpdateOutcome,
}

impl Slots {
    /// The trial is over, and the active slot stays.
    pub(super) fn failed(self) -> Self {
        Self {
            trial: Trial::None,
            outcome: UpdateOutcome::Failed,
            ..self
        }
    }
}

/// What provisioning leaves: the model in slot A.
impl Default for Slots {
    fn default() -> Self {
        Self {
            active: SlotName::A,
            trial: Trial::None,
            outcome: UpdateOutcome::None,
        }
    }
}

/// Where the model in the spare slot stands on its way to be active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Trial {
    /// It is not on its way: whatever the slot holds, nothing looks at it.
    None = 0,
    /// It verifies, and the next boot tries it.
    Pending = 1,
    /// A boot has begun to try it.
    Attempted = 2,
}

impl Trial {
    fn from_byte(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::None),
            1 => Some(Self::Pending),
            2 => Some(Self::Attempted),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sequence: u32,
    pub(super) counters: Counters,
    pub(super) slots: Slots,
}

impl Record {
    /// The state of the slots is that of the record with the greatest of this: see the [module docs](super).
    pub(super) fn rank(&self) -> (u32, u32) {
        (self.counters.security, self.sequence)
    }
}

/// What the place of a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Erased.
    Blank,
    /// Neither erased nor a record: a write was cut short.
    Torn,
    Valid(Record),
}

impl Record {
    pub(super) fn encode(&self) -> [u8; RECORD_LEN] {
        let Counters {
            boot,
            security,
            requests,
        } = self.counters;
        let Slots {
            active,
            trial,
            outcome,
        } = self.slots;
        let words = [
            MAGIC,
            self.sequence,
            requests as u32,
            (requests >> 32) as u32,
            boot,
            security,
            u32::from_le_bytes([active as u8, trial as u8, outcome as u8, 0]),
        ];
        let mut bytes = [0; RECORD_LEN];
        let (cells, _) = bytes.as_chunks_mut();
        let (body, checksum) = (words, crc32(words.map(u32::to_le_bytes).as_flattened()));
        for (cell, word) in cells.iter_mut().zip(body.into_iter().chain([checksum])) {
            *cell = word.to_le_bytes();
        }
        bytes
    }
}

impl Cell {
    pub(super) fn decode(bytes: &[u8; RECORD_LEN]) -> Self {
        if bytes.iter().all(|byte| *byte == ERASED) {
            return Self::Blank;
        }
        let (cells, _) = bytes.as_chunks();
        let &[
            MAGIC_BYTES,
            sequence,
            requests_low,
            requests_high,
            boot,
            security,
            [active, trial, outcome, 0],
            checksum,
        ] = cells
        else {
            return Self::Torn;
        };
        let (body, _) = bytes.split_at(RECORD_LEN - 4);
        if crc32(body) != u32::from_le_bytes(checksum) {
            return Self::Torn;
        }
        let (Ok(active), Some(trial), Ok(outcome)) = (
            SlotName::try_from(active),
            Trial::from_byte(trial),
            UpdateOutcome::try_from(outcome),
        ) else {
            return Self::Torn;
        };
        let [l0, l1, l2, l3] = requests_low;
        let [h0, h1, h2, h3] = requests_high;
        Self::Valid(Record {
            sequence: u32::from_le_bytes(sequence),
            counters: Counters {
                boot: u32::from_le_bytes(boot),
                security: u32::from_le_bytes(security),
                requests: u64::from_le_bytes([l0, l1, l2, l3, h0, h1, h2, h3]),
            },
            slots: Slots {
                active,
                trial,
                outcome,
            },
        })
    }
}

const MAGIC_BYTES: [u8; 4] = *b"SNJ1";
const MAGIC: u32 = u32::from_le_bytes(MAGIC_BYTES);
const ERASED: u8 = 0xFF;

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record {
        sequence: 0x0102_0304,
        counters: Counters {
            boot: 7,
            security: 9,
            requests: 0x1122_3344_5566_7788,
        },
        slots: Slots {
            active: SlotName::B,
            trial: Trial::Attempted,
            outcome: UpdateOutcome::Confirmed,
        },
    };

    #[test]
    fn lies_as_documented() {
        let bytes = RECORD.encode();
        assert_eq!(
            &bytes[..28],
            b"SNJ1\x04\x03\x02\x01\x88\x77\x66\x55\x44\x33\x22\x11\x07\0\0\0\x09\0\0\0\x01\x02\x01\0"
        );
        assert_eq!(bytes[28..], crc32(&bytes[..28]).to_le_bytes());
        assert_eq!(Cell::decode(&bytes), Cell::Valid(RECORD));
        assert_eq!(Cell::decode(&[0xFF; RECORD_LEN]), Cell::Blank);
    }

    #[test]
    fn every_changed_bit_and_every_torn_write_is_seen() {
        let bytes = RECORD.encode();
        for bit in 0..RECORD_LEN * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cell::decode(&changed), Cell::Torn, "bit {bit}");
        }
        for written in 1..RECORD_LEN {
            let mut torn = [0xFF; RECORD_LEN];
            torn[..written].copy_from_slice(&bytes[..written]);
            assert_eq!(Cell::decode(&torn), Cell::Torn, "{written} bytes written");
        }
    }

    /// A record of a later version, with numbers that this one does not know.
    #[test]
    fn an_unknown_state_is_no_record() {
        for (byte, first_unknown) in [(24, 2), (25, 3), (26, 3), (27, 1)] {
            for value in 0..=255 {
                let mut bytes = RECORD.encode();
                bytes[byte] = value;
                let checksum = crc32(&bytes[..28]);
                bytes[28..].copy_from_slice(&checksum.to_le_bytes());
                let valid = matches!(Cell::decode(&bytes), Cell::Valid(_));
                assert_eq!(valid, value < first_unknown, "{value} at {byte}");
            }
        }
    }
}
