//! `--on qemu`: boards in QEMU, where there can be any.

use sealnet::error::Result;
use sealnet::infer::Inferred;
use sealnet::progress::Progress;
use sealnet::train::Records;
use sealnet_core::artefact::DeployedAny;
use sealnet_firmware::identity::Identity;

use crate::cli::InferArgs;

pub(super) use here::Boards;

#[cfg(unix)]
mod here {
    use std::time::Duration;

    use sealnet::infer::{Emulation, on_qemu};
    use sealnet_firmware::qemu::Board;

    use super::*;
    use crate::cli::BoardArg;

    /// Seconds that an answer may take unless said otherwise.
    const TIMEOUT: u64 = 60;

    /// Boards that are ready to be switched on.
    pub(crate) struct Boards(Emulation);

    impl Boards {
        /// Builds what they run, if need be.
        pub(crate) fn ready(
            args: &InferArgs,
            model: &DeployedAny<'_>,
            progress: &dyn Progress,
        ) -> Result<Boards> {
            let board = match args.board() {
                BoardArg::CortexM4 => Board::CortexM4,
                BoardArg::CortexM3 => Board::CortexM3,
                BoardArg::CortexM33 => Board::CortexM33,
            };
            let timeout = Duration::from_secs(args.timeout.unwrap_or(TIMEOUT));
            let mut emulation = Emulation::ready(model, board, args.streamed, timeout, progress)?;
            emulation.log = args.device_log;
            Ok(Boards(emulation))
        }

        pub(crate) fn run(
            &self,
            model: &DeployedAny<'_>,
            provisioned: (&[u8], u32),
            device: &Identity,
            asked: (Records<'_>, &[u32]),
            progress: &dyn Progress,
        ) -> Result<Inferred> {
            on_qemu(model, provisioned, device, asked, &self.0, progress)
        }
    }
}

#[cfg(not(unix))]
mod here {
    use sealnet::error::Error;

    use super::*;

    /// None.
    pub(crate) enum Boards {}

    impl Boards {
        pub(crate) fn ready(
            _args: &InferArgs,
            _model: &DeployedAny<'_>,
            _progress: &dyn Progress,
        ) -> Result<Boards> {
            Err(Error::input(
                "--on qemu needs Unix",
                "use --on sim: the same device in this process",
            ))
        }

        pub(crate) fn run(
            &self,
            _model: &DeployedAny<'_>,
            _provisioned: (&[u8], u32),
            _device: &Identity,
            _asked: (Records<'_>, &[u32]),
            _progress: &dyn Progress,
        ) -> Result<Inferred> {
            match *self {}
        }
    }
}
