//! `run`: the device in this process, behind standard input and output.

use std::io::{self, Read, Write};
use std::path::Path;

use sealnet_core::artefact::Encrypted;
use sealnet_firmware::device::Served;
use sealnet_firmware::sim::Machine;

use crate::failure::Failure;
use crate::files::open;
use crate::text::say;

/// Boots the device and answers frames until standard input ends.
pub(crate) fn run(path: &Path, streamed: bool) -> Result<(), Failure> {
    let (flash, file) = open(path)?;
    let mut machine = Machine::new(flash);
    machine.flash_mut().attach(file);
    if streamed {
        serve(machine.streamed(), path)
    } else {
        serve(machine, path)
    }
}

fn serve<M: Encrypted>(mut machine: Machine<M>, path: &Path) -> Result<(), Failure> {
    let mut frames = Frames {
        input: io::stdin().lock(),
        output: io::stdout().lock(),
    };
    let (ended, model) = loop {
        let mut device = machine.boot_on(&mut frames, |event| say(format_args!("{event}")));
        let ended = device.run();
        let model = device.model().map(drop);
        // To try a new model, the board resets itself.
        if !matches!(ended, Ok(Served::Reset)) {
            break (ended, model);
        }
    };
    if let Some(error) = machine.flash_mut().take_file_error() {
        return Err(Failure::io("write", path)(error));
    }
    match ended {
        // Whoever asked has gone; there is nobody left to answer.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Frames(error)),
        _ => model.map_err(Failure::NoModel),
    }
}

/// Frames on standard input and output.
struct Frames {
    input: io::StdinLock<'static>,
    output: io::StdoutLock<'static>,
}

impl Read for Frames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Frames {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
