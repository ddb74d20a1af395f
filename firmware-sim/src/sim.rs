//! A board in this process: flash under NOR rules that outlives resets, and a device booted from it.
//!
//! ```no_run
//! # fn run(identity: &sealnet_firmware::identity::Identity, model: &[u8], features: &[u8])
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use sealnet_firmware::client::Client;
//! use sealnet_firmware::sim::Machine;
//!
//! let mut machine = Machine::provision(identity, model, 0)?;
//! let mut device = machine.boot(|event| eprintln!("{event}"));
//! let mut client = Client::new(identity);
//! let answer = client.infer(&mut device, features)?;
//! println!("{}", answer.label);
//! # Ok(()) }
//! ```
//!
//! Dropping the device is a reset; the machine keeps the flash, and the next boot finds the counters. A device
//! that has received a new model asks for that reset itself; [`Machine::update`] does all of it.

pub mod flash;
mod port;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::mem;

use sealnet_core::artefact::{Encrypted, Header, InRam, Streamed};
use zeroize::Zeroizing;

use crate::client::{Client, ClientError, Link};
use crate::device::{BootError, Device, Served};
use crate::env::{Board, Env, Event, Log, Slot as _};
use crate::identity::Identity;
use crate::journal::Counters;
use crate::layout::{IDENTITY, JOURNAL, MODEL_RAM_LEN, SLOT_A, SLOT_B};
use crate::provision::{self, ProvisionError};
use flash::{NorRegion, SimFlash};
pub use port::Port;

/// What stays when the power goes: the flash. `M` is what becomes of an encrypted model: decrypted into RAM, or
/// [streamed](Machine::streamed).
#[derive(Debug)]
pub struct Machine<M = InRam> {
    flash: SimFlash,
    model_ram: Zeroizing<Vec<u8>>,
    encrypted: PhantomData<M>,
}

/// The types of a simulated board: its port is any pair of streams `P`.
#[derive(Debug)]
pub struct SimEnv<'m, P, L, M = InRam>(PhantomData<(&'m (), P, L, M)>);

impl<'m, P: Read + Write, L: Log, M: Encrypted> Env for SimEnv<'m, P, L, M> {
    type Slot<'s> = NorRegion<'s>;
    type Journal = NorRegion<'m>;
    type Port = Port<P>;
    type Log = L;
    type Encrypted = M;
}

impl Machine {
    /// A freshly provisioned board whose security counter is `min_counter`; see [`provision::flash_image`].
    ///
    /// # Errors
    /// [`ProvisionError`].
    pub fn provision(
        identity: &Identity,
        model: &[u8],
        min_counter: u32,
    ) -> Result<Self, ProvisionError> {
        Ok(Self::new(provision::flash_image(
            identity,
            model,
            Counters {
                security: min_counter,
                ..Counters::default()
            },
        )?))
    }

    /// A board with this flash.
    pub fn new(flash: SimFlash) -> Self {
        Self {
            flash,
            model_ram: Zeroizing::new(vec![0; MODEL_RAM_LEN]),
            encrypted: PhantomData,
        }
    }

    /// The board without RAM for a model: an encrypted one stays encrypted in flash, and each inference
    /// decrypts it in pieces.
    pub fn streamed(self) -> Machine<Streamed> {
        Machine {
            flash: self.flash,
            model_ram: Zeroizing::new(Vec::new()),
            encrypted: PhantomData,
        }
    }
}

impl<M: Encrypted> Machine<M> {
    /// The flash.
    pub fn flash(&self) -> &SimFlash {
        &self.flash
    }

    /// The flash, taken out.
    pub fn into_flash(self) -> SimFlash {
        self.flash
    }

    /// The RAM that an encrypted model was decrypted into; none where it is streamed.
    pub fn model_ram(&self) -> &[u8] {
        &self.model_ram
    }

    /// The flash, for faults and files.
    pub fn flash_mut(&mut self) -> &mut SimFlash {
        &mut self.flash
    }

    /// Switches power on: boots a device that talks with this process.
    pub fn boot<L: Log>(&mut self, log: L) -> SimDevice<'_, L, M> {
        SimDevice {
            device: self.boot_on(Pipe::default(), log),
            resetting: false,
        }
    }

    /// Gives the device a new model over its port: uploads it, resets the board, and asks what became of it.
    ///
    /// # Errors
    /// [`ClientError`], whose refusals `log` explains: the device serves the old model, or none if it had none.
    pub fn update(
        &mut self,
        client: &mut Client,
        model: &[u8],
        mut log: impl FnMut(Event),
        progress: impl FnMut(usize),
    ) -> Result<(), ClientError> {
        client.update(&mut self.boot(&mut log), model, progress)?;
        client.updated(&mut self.boot(&mut log), model)
    }

    /// Switches power on: boots a device that reads and writes `port`.
    pub fn boot_on<P: Read + Write, L: Log>(
        &mut self,
        port: P,
        log: L,
    ) -> Device<'_, SimEnv<'_, P, L, M>> {
        let Self {
            flash, model_ram, ..
        } = self;
        flash.power_on();
        let port = Port::new(port, flash.power());
        let [a, b, identity, journal] = flash.regions([SLOT_A, SLOT_B, IDENTITY, JOURNAL]);
        Device::boot(Board {
            slots: [a, b],
            identity: identity.lend(),
            model_ram,
            journal,
            port,
            log,
        })
    }
}

/// A device that talks with this process.
#[derive(Debug)]
pub struct SimDevice<'m, L: Log, M: Encrypted = InRam> {
    device: Device<'m, SimEnv<'m, Pipe, L, M>>,
    resetting: bool,
}

impl<L: Log, M: Encrypted> SimDevice<'_, L, M> {
    /// What the publisher says about the model served, or why there is none.
    ///
    /// # Errors
    /// Why the device serves no model.
    pub fn model(&self) -> Result<&Header, BootError> {
        self.device.model()
    }

    /// Whether the device has asked for a reset, to try a new model. It answers nothing until it is dropped and
    /// its machine booted again.
    pub fn resetting(&self) -> bool {
        self.resetting
    }
}

impl<L: Log, M: Encrypted> Link for SimDevice<'_, L, M> {
    /// Sends bytes, frames or not, and gives all that the device sends back. A device that is
    /// [resetting](SimDevice::resetting) is an error of the kind `ConnectionReset`.
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        if self.resetting {
            let message = "the device has reset itself and was not booted again";
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, message));
        }
        self.device.port_mut().get_mut().incoming.extend(bytes);
        self.resetting = self.device.run()? == Served::Reset;
        Ok(mem::take(&mut self.device.port_mut().get_mut().outgoing))
    }
}

/// The wire inside this process.
#[derive(Debug, Default)]
pub struct Pipe {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
