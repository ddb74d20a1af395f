//! What this machine has for the device as a Cortex-M image in QEMU: none of it is needed for the rest.

#[cfg(not(unix))]
use super::Check;

#[cfg(unix)]
pub(super) use here::checks;

#[cfg(not(unix))]
pub(super) fn checks() -> Vec<Check> {
    vec![Check::ok("qemu-system-arm", "not looked for").note("boards in QEMU need Unix")]
}

#[cfg(unix)]
mod here {
    use sealnet_firmware::qemu::{self, Board, Mode, Toolchain};

    use super::super::Check;

    /// QEMU, a compiler for it, and what that has built.
    pub(in super::super) fn checks() -> Vec<Check> {
        vec![emulator(), toolchain(), image()]
    }

    fn emulator() -> Check {
        let name = "qemu-system-arm";
        match qemu::installed() {
            Ok(version) => Check::ok(name, version),
            Err(error) => Check::ok(name, "not found").note(format!(
                "only for --on qemu, and for the demo's device on a Cortex-M: {}",
                error.hint()
            )),
        }
    }

    fn toolchain() -> Check {
        let (name, triple) = ("cortex-m target", BOARD.triple());
        match Toolchain::found(triple) {
            Some(Toolchain::Rustup) => Check::ok(name, format!("{triple}, by rustup")),
            Some(Toolchain::Debian) => {
                Check::ok(name, "Debian's rustc, which builds the core library itself")
            }
            None => {
                let missing = qemu::QemuError::Toolchain { triple };
                Check::ok(name, "not found")
                    .note(format!("only to build the firmware: {}", missing.hint()))
            }
        }
    }

    /// The image for an encrypted model, which is what `export` makes unless it is told otherwise.
    fn image() -> Check {
        let name = "firmware image";
        let built = |mode| qemu::is_current(BOARD, mode);
        match (
            qemu::sources(),
            built(Mode::Confidential),
            built(Mode::Clear),
        ) {
            (Err(error), ..) => Check::ok(name, error.to_string())
                .note(format!("only to build the firmware: {}", error.hint())),
            (Ok(_), true, true) => Check::ok(name, format!("{BOARD}, built and up to date")),
            (Ok(_), true, false) => Check::ok(
                name,
                format!("{BOARD}, built and up to date for encrypted models"),
            ),
            (Ok(_), false, true) => Check::ok(
                name,
                format!("{BOARD}, built and up to date for clear models"),
            ),
            (Ok(_), false, false) => Check::ok(name, "not built, or older than its sources")
                .note("the demo and --on qemu build it when they need it"),
        }
    }

    const BOARD: Board = Board::CortexM4;
}
