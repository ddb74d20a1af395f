//! The boards that QEMU offers, and how a model is kept on them.

use std::fmt;
use std::ops::Range;

/// An MPS2 board, one for each kind of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(clap::ValueEnum))]
pub enum Board {
    /// Cortex-M4 with FPU (AN386).
    #[value(name = "cortex-m4")]
    CortexM4,
    /// Cortex-M3, without DSP extension (AN385).
    #[value(name = "cortex-m3")]
    CortexM3,
    /// Cortex-M33 with FPU (AN505).
    #[value(name = "cortex-m33")]
    CortexM33,
}

/// Where the weights of a running model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(clap::ValueEnum))]
pub enum Mode {
    /// In flash, in clear.
    Clear,
    /// Decrypted into RAM.
    Confidential,
    /// In flash, encrypted: each inference decrypts them in pieces. The image is the one for clear models.
    Streamed,
}

impl Board {
    /// QEMU's name of the machine, and the image's feature.
    pub const fn machine(self) -> &'static str {
        match self {
            Self::CortexM4 => "mps2-an386",
            Self::CortexM3 => "mps2-an385",
            Self::CortexM33 => "mps2-an505",
        }
    }

    /// Rust's target.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::CortexM4 => "thumbv7em-none-eabihf",
            Self::CortexM3 => "thumbv7m-none-eabi",
            Self::CortexM33 => "thumbv8m.main-none-eabihf",
        }
    }

    /// Where RAM lies, as the image's linker script has it.
    pub const fn ram(self) -> Range<u32> {
        let start = match self {
            Self::CortexM4 | Self::CortexM3 => 0x2000_0000,
            Self::CortexM33 => 0x3800_0000,
        };
        start..start + RAM_LEN
    }

    /// Where the flash map of [`layout`](crate::layout) lies.
    pub const fn storage(self) -> u64 {
        match self {
            Self::CortexM4 | Self::CortexM3 => 0x2100_0000,
            Self::CortexM33 => 0x8000_0000,
        }
    }
}

impl Mode {
    /// The image's feature, if it needs one.
    pub(super) const fn feature(self) -> Option<&'static str> {
        match self {
            Self::Clear | Self::Streamed => None,
            Self::Confidential => Some("confidential"),
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CortexM4 => "Cortex-M4",
            Self::CortexM3 => "Cortex-M3",
            Self::CortexM33 => "Cortex-M33",
        })
    }
}

const RAM_LEN: u32 = 128 << 10;
