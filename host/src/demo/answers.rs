//! The device: it refuses what was touched, and answers every test record.

#[cfg(unix)]
use std::time::Duration;
use std::time::Instant;

use sealnet_core::artefact::DeployedAny;
use sealnet_core::sign::{Ed25519SigningKey, SigningKey};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::identity::Identity;
#[cfg(unix)]
use sealnet_firmware::qemu::Board;
use sealnet_firmware::sim::Machine;
use serde::Serialize;

use super::Stage;
use super::model::{COUNTER, Exported};
use super::trials::{Trial, Trials};
use crate::dataset::Dataset;
use crate::dataset::split::Split;
use crate::error::{Error, Result};
use crate::infer;
#[cfg(unix)]
use crate::infer::Emulation;
use crate::model::ModelFile;
use crate::train::Records;

/// The device's answers.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Where it ran: `sim`, in this process.
    pub on: &'static str,
    /// Test records it answered.
    pub images: u64,
    /// Of those, how many have all logits equal to the host's, bit for bit.
    pub agree: u64,
    /// Seconds taken, sealed requests and verified receipts included.
    pub seconds: f64,
    /// The same on boards in QEMU, where this machine can have some.
    pub qemu: Option<QemuReport>,
    /// Why there are none, and what to do about it.
    pub qemu_missing: Option<Missing>,
}

/// The answers of boards in QEMU.
#[derive(Debug, Clone, Serialize)]
pub struct QemuReport {
    /// Their core.
    pub board: &'static str,
    /// Test records they answered: the first ones.
    pub images: u64,
    /// Of those, how many have all logits equal to the host's, bit for bit.
    pub agree: u64,
    /// Seconds taken, boots included.
    pub seconds: f64,
}

/// What a machine lacks.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Stage<'_> {
    /// Tries touched models and a replayed request, then lets the device answer all test records.
    pub(super) fn answer(
        &self,
        data: &Dataset,
        split: &Split,
        exported: &Exported,
        trials: &mut Trials,
    ) -> Result<DeviceReport> {
        let identity = self.folder.device(&self.device)?;
        let before = trials.clone();

        let mut changed = exported.sealed.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let stranger = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&random_seed()?));
        let older = exported.seal(&self.folder.publisher_signing()?, COUNTER - 1)?;
        for (tampering, model, reason) in [
            ("model changed by one bit", &changed, "signature"),
            (
                "model of another publisher",
                &exported.seal(&stranger, COUNTER)?,
                "key",
            ),
            ("older model", &older, "counter"),
        ] {
            trials.record(boot(&identity, tampering, model, reason)?);
        }
        let replayed = replay(&identity, &exported.sealed, data, trials)?;
        trials.record(replayed);
        self.progress.note(&format!(
            "tamper  with models and requests of the device {}",
            trials.since(&before)
        ));

        let start = Instant::now();
        let file = ModelFile::from_bytes("the model".into(), exported.sealed.clone());
        let records = Records::from(data);
        let (inferred, seconds, qemu) = trials.clean(file.deployed(
            &identity.publisher,
            identity.model.as_ref(),
            COUNTER,
            |deployed| {
                let inferred = infer::on_simulator(
                    deployed,
                    file.bytes(),
                    &identity,
                    (COUNTER, false),
                    (records, &split.test),
                    self.progress,
                )?;
                let seconds = start.elapsed().as_secs_f64();
                let which = split.test.get(..QEMU_IMAGES).unwrap_or(&split.test);
                let qemu = self.boards(deployed, file.bytes(), &identity, (records, which))?;
                Ok((inferred, seconds, qemu))
            },
        ))?;
        let agree = inferred.agree.unwrap_or(0);
        let images = split.test.len();
        self.progress.note(&format!(
            "device  self-tested the model; {agree} of {images} sealed requests answered as the host does, bit for \
             bit, {:.2} % correct: {seconds:.1} s",
            100.0 * inferred.accuracy(),
        ));
        match &qemu {
            Ok(qemu) => self.progress.note(&format!(
                "qemu    {} of {} images on a Cortex-M4 in QEMU with the host's logits: {:.1} s",
                qemu.agree, qemu.images, qemu.seconds
            )),
            Err(Missing { what, .. }) => self.progress.note(&format!(
                "qemu    no Cortex-M here, the device ran in process only: {what} (sealnet doctor says what to install)"
            )),
        }
        let (qemu, qemu_missing) = match qemu {
            Ok(qemu) => (Some(qemu), None),
            Err(missing) => (None, Some(missing)),
        };
        Ok(DeviceReport {
            on: "sim",
            images: images as u64,
            agree,
            seconds,
            qemu,
            qemu_missing,
        })
    }

    /// The same on boards in QEMU. The inner error: there can be none.
    #[cfg(unix)]
    fn boards(
        &self,
        model: &DeployedAny<'_>,
        artefact: &[u8],
        identity: &Identity,
        (records, which): (Records<'_>, &[u32]),
    ) -> Result<Result<QemuReport, Missing>> {
        let emulation = Emulation::ready(model, Board::CortexM4, false, TIMEOUT, self.progress);
        let emulation = match emulation {
            Ok(emulation) => emulation,
            Err(error) => {
                return Ok(Err(Missing {
                    what: error.to_string(),
                    hint: error.hint(),
                }));
            }
        };
        let start = Instant::now();
        let inferred = infer::on_qemu(
            model,
            (artefact, COUNTER),
            identity,
            (records, which),
            &emulation,
            self.progress,
        )?;
        Ok(Ok(QemuReport {
            board: "cortex-m4",
            images: which.len() as u64,
            agree: inferred.agree.unwrap_or(0),
            seconds: start.elapsed().as_secs_f64(),
        }))
    }

    #[cfg(not(unix))]
    fn boards(
        &self,
        _model: &DeployedAny<'_>,
        _artefact: &[u8],
        _identity: &Identity,
        _asked: (Records<'_>, &[u32]),
    ) -> Result<Result<QemuReport, Missing>> {
        Ok(Err(Missing {
            what: "boards in QEMU need Unix".into(),
            hint: String::new(),
        }))
    }
}

/// Boots a device with a model that it must refuse.
fn boot(identity: &Identity, tampering: &'static str, model: &[u8], reason: &str) -> Result<Trial> {
    let mut machine = machine(identity, model)?;
    let device = machine.boot(|_| ());
    let booted = device.model().map(drop).map_err(|e| e.to_string());
    Ok(Trial::of(tampering, "device", reason, booted))
}

/// Sends a request that was answered once more, after a reset.
fn replay(identity: &Identity, model: &[u8], data: &Dataset, trials: &mut Trials) -> Result<Trial> {
    let mut machine = machine(identity, model)?;
    let mut client = Client::new(identity);
    let request = {
        let mut device = machine.boot(|_| ());
        client.status(&mut device).map_err(asking)?;
        let request = client.seal(data.features_of(0)).map_err(asking)?;
        let response = device
            .exchange(&request.frame)
            .map_err(|e| asking(e.into()))?;
        trials
            .clean(client.open(&request, &response))
            .map_err(asking)?;
        request
    };
    let mut device = machine.boot(|_| ());
    let response = device
        .exchange(&request.frame)
        .map_err(|e| asking(e.into()))?;
    let again = client
        .open(&request, &response)
        .map(drop)
        .map_err(|e| match e {
            // The device is in this process: it was it that refused.
            ClientError::Refused(refusal) => refusal.code.to_string(),
            other => other.to_string(),
        });
    Ok(Trial::of(
        "request replayed after a reset",
        "device",
        "replay",
        again,
    ))
}

fn machine(identity: &Identity, model: &[u8]) -> Result<Machine> {
    Machine::provision(identity, model, COUNTER).map_err(|e| Error::input(e.to_string(), e.hint()))
}

fn asking(error: sealnet_firmware::client::ClientError) -> Error {
    Error::input(format!("the simulated device: {error}"), "")
}

fn random_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| {
        Error::input(
            format!("the operating system gives no random bytes: {e}"),
            "",
        )
    })?;
    Ok(seed)
}

/// Images that boards in QEMU answer: an emulated core takes its time.
const QEMU_IMAGES: usize = 500;

/// How long one of their answers may take.
#[cfg(unix)]
const TIMEOUT: Duration = Duration::from_secs(60);
