//! CRC-32 as in ISO 3309, ITU-T V.42 and zlib: what tells a torn write from a whole one.

/// CRC-32 of `bytes`: polynomial 0x04C11DB7 reflected, initial value and final inversion all ones. Bit by
/// bit: a table would cost flash, and only a few kilobytes a boot pass through here.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

const POLYNOMIAL: u32 = 0x04C1_1DB7_u32.reverse_bits();

#[cfg(test)]
mod tests {
    use super::crc32;

    /// The check value that every catalogue of CRCs gives.
    #[test]
    fn check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
