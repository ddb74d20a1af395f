//! A device's name.

use core::fmt;

use sealnet_core::protocol::DeviceId;

/// A device's name: 1 to 16 ASCII letters, digits, `-` or `_`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName([u8; DeviceName::MAX_LEN]);

impl DeviceName {
    /// Takes a name of 1 to [`DeviceName::MAX_LEN`] ASCII letters, digits, `-` or `_`.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        for (to, from) in bytes.get_mut(..name.len())?.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        // Otherwise a name that ends with zeros would be taken for the one without them.
        if name.contains('\0') {
            return None;
        }
        Self::from_bytes(bytes)
    }

    /// Takes the bytes as they were stored: the name, padded with zeros.
    pub fn from_bytes(bytes: [u8; Self::MAX_LEN]) -> Option<Self> {
        let len = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(Self::MAX_LEN);
        let (name, padding) = bytes.split_at_checked(len)?;
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let valid =
            !name.is_empty() && name.iter().all(allowed) && padding.iter().all(|byte| *byte == 0);
        valid.then_some(Self(bytes))
    }

    /// The bytes to store: the name, padded with zeros.
    pub fn to_bytes(&self) -> [u8; Self::MAX_LEN] {
        self.0
    }

    /// The id that statuses and receipts carry: the same bytes.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(self.0)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }

    /// Length of the longest name.
    pub const MAX_LEN: usize = 16;
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[test]
    fn names_of_devices() {
        for name in ["0", "device_7-B", "0123456789abcdef"] {
            assert_eq!(DeviceName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "0123456789abcdefg", "a b", "a/b", "\u{e9}", "a\0"] {
            assert_eq!(DeviceName::new(name), None, "{name:?}");
        }
    }
}
