//! Values on the command line that have a form of their own.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sealnet::vault::MAX_SHARD_RECORDS;

/// `N` bytes written as `2 N` hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HexBytes<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> FromStr for HexBytes<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| format!("expected {} hexadecimal digits", 2 * N))?;
        Ok(HexBytes(bytes))
    }
}

/// The widths of the two hidden layers, `A,B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hidden(pub(crate) u16, pub(crate) u16);

impl FromStr for Hidden {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let width = |part: &str| match part.trim().parse() {
            Ok(width @ 1..=MAX_HIDDEN) => Ok(width),
            _ => Err(format!(
                "expected two widths of 1 to {MAX_HIDDEN} with a comma between them, as in 64,64"
            )),
        };
        let (first, second) = text.split_once(',').unwrap_or((text, ""));
        Ok(Hidden(width(first)?, width(second)?))
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.0, self.1)
    }
}

/// A sealed model by its file, or any model by the SHA-512 of its plaintext body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelOrDigest {
    /// 128 hexadecimal digits.
    Digest([u8; 64]),
    /// Anything else.
    File(PathBuf),
}

impl FromStr for ModelOrDigest {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(HexBytes(digest)) => ModelOrDigest::Digest(digest),
            Err(_) => ModelOrDigest::File(text.into()),
        })
    }
}

/// How many tampered records may be set aside: a number, or a share in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tolerance {
    /// At most this many.
    Records(u64),
    /// At most this share of all, in percent, 0 to 100.
    Percent(f64),
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a number of records, as in 10, or a share, as in 0.5%".to_owned();
        match text.strip_suffix('%') {
            Some(share) => match share.trim().parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Tolerance::Percent(share)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Tolerance::Records).map_err(|_| wrong()),
        }
    }
}

/// A number of records a shard: a power of two, so that the tree over the shards is the tree over all.
pub(super) fn shard_records(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if n.is_power_of_two() && n <= MAX_SHARD_RECORDS => Ok(n),
        _ => Err(format!(
            "expected a power of two, at most {MAX_SHARD_RECORDS}"
        )),
    }
}

/// Percentage points that may be lost.
pub(super) fn points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("expected percentage points from 0 to 100, as in 0.2".to_owned()),
    }
}

/// A share, 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, as in 0.1".to_owned()),
    }
}

/// A share either way, -1 to 1.
pub(super) fn signed_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (-1.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from -1 to 1, as in 0.1".to_owned()),
    }
}

/// Widths beyond this would not fit a microcontroller, nor `quant`'s accumulator bounds.
const MAX_HIDDEN: u16 = 4096;

/// The highest serial that can be asked for: what every JSON reader takes exactly (RFC 8259, section 6). One
/// slip of a finger does not use up all that there are.
pub(super) const MAX_SERIAL: u64 = (1 << 53) - 1;
/// The highest security counter that can be asked for: half of all, so that one slip leaves the other half.
pub(super) const MAX_COUNTER: i64 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden() {
        assert_eq!("64,32".parse(), Ok(Hidden(64, 32)));
        assert_eq!("64, 32".parse(), Ok(Hidden(64, 32)));
        for wrong in [
            "", "64", "64,", ",64", "0,1", "1,2,3", "4097,1", "-1,1", "a,b",
        ] {
            assert!(wrong.parse::<Hidden>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tolerance() {
        assert_eq!("7".parse(), Ok(Tolerance::Records(7)));
        assert_eq!("0.5%".parse(), Ok(Tolerance::Percent(0.5)));
        for wrong in ["", "%", "-1", "101%", "NaN%", "0.5", "1 record"] {
            assert!(wrong.parse::<Tolerance>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(shard_records("1024"), Ok(1024));
        assert!(shard_records("0").is_err() && shard_records("1000").is_err());
        assert!(shard_records("2097152").is_err());
        assert_eq!(points("0.2"), Ok(0.2));
        assert!(points("NaN").is_err() && points("-1").is_err() && points("inf").is_err());
        assert_eq!("0aff".parse(), Ok(HexBytes([10, 255])));
        assert!("0af".parse::<HexBytes<2>>().is_err() && "0agg".parse::<HexBytes<2>>().is_err());
    }
}
