//! The model: trained, quantised, sealed; and its weights swapped in vain.

use sealnet_core::artefact::{Name, ReplyPolicy};
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Kernel, Quantisation};
use sealnet_core::sign::SigningKey;
use serde::Serialize;

use super::Stage;
use super::trials::{Bars, Trial, Trials};
use crate::dataset::split::Split;
use crate::error::{Error, Result};
use crate::export::{self, Prepared, SealOptions};
use crate::files;
use crate::receipt::{self, Verified};
use crate::train::recipe::PAPER_HIDDEN;
use crate::train::session::{self, Finished, SessionOptions, now};
use crate::train::{Backend, Recipe, Shape, init::glorot_uniform};
use crate::vault::SourceData;
use crate::weights;

/// Phase 3.
#[derive(Debug, Clone, Serialize)]
pub struct TrainReport {
    /// The recipe's name.
    pub recipe: String,
    /// The seed.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: u32,
    /// Seconds taken.
    pub seconds: f64,
    /// On the official test records, 0 to 1, of the real network.
    pub test_accuracy: f64,
    /// SHA-512 of the weight file.
    pub weights_sha512: String,
}

/// The sealed model.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReport {
    /// On the official test records, 0 to 1, of the integer network.
    pub test_accuracy: f64,
    /// Test records that the integer network predicts differently from the real one.
    pub changed_predictions: u64,
    /// Length of the sealed model.
    pub artefact_bytes: usize,
}

/// A model ready for a device.
pub(super) struct Exported {
    pub(super) report: ExportReport,
    /// The artefact, encrypted, security counter [`COUNTER`].
    pub(super) sealed: Vec<u8>,
    prepared: Prepared,
    weights: Vec<u8>,
    receipt: Verified,
    encryption: FernetKey,
}

impl Stage<'_> {
    /// Trains on what was verified, and signs a receipt.
    pub(super) fn train(&self, source: &SourceData) -> Result<(TrainReport, Finished)> {
        let options = SessionOptions {
            recipe: Recipe::paper(),
            hidden: PAPER_HIDDEN,
            seed: self.demo.seed,
            split_seed: None,
            backend: Backend::detect(),
            threads: 0,
        };
        let place = self.files.vault.display().to_string();
        let finished = session::run(&place, source, &options, &Bars(self.progress))?;
        let receipt = finished.receipt(WEIGHTS_NAME, &self.owner);
        files::write_atomic(&self.files.weights, &finished.weights)?;
        files::write_atomic(&self.files.receipt, &receipt)?;
        let report = TrainReport {
            recipe: finished.training.recipe.name.clone(),
            seed: self.demo.seed,
            epochs: finished.training.recipe.epochs,
            seconds: finished.elapsed.as_secs_f64(),
            test_accuracy: finished.test.accuracy(),
            weights_sha512: hex::encode(finished.weights_digest),
        };
        self.progress.note(&format!(
            "train   recipe {}, seed {}, {} epochs on {} verified records: {:.2} % on {} test records, {:.1} s",
            report.recipe,
            report.seed,
            report.epochs,
            finished.training.split.training,
            100.0 * report.test_accuracy,
            finished.test.records,
            report.seconds,
        ));
        Ok((report, finished))
    }

    /// Quantises, judges, signs and encrypts; other weights under the same receipt are refused.
    pub(super) fn export(
        &self,
        source: &SourceData,
        split: &Split,
        finished: Finished,
        trials: &mut Trials,
    ) -> Result<Exported> {
        let swapped = self.swapped_weights(&finished)?;
        trials.record(swapped);

        let weights = files::read_limited(&self.files.weights, finished.weights.len() as u64)?;
        let receipt = trials.clean(receipt::read(
            &self.files.receipt,
            &weights,
            &self.owner_public,
        ))?;
        let network = weights::from_safetensors(&weights).map_err(|e| Error::input(e, ""))?;
        let data = &source.dataset;
        let prepared = export::prepare(
            &network,
            data,
            split,
            Quantisation::default(),
            MAX_LOSS_POINTS,
        )?;
        let encryption = self
            .folder
            .model_keys()?
            .into_iter()
            .next()
            .ok_or_else(|| Error::input("there is no model key", ""))?;
        let mut exported = Exported {
            report: ExportReport {
                test_accuracy: prepared.test.integer_accuracy(),
                changed_predictions: prepared.test.changed,
                artefact_bytes: 0,
            },
            sealed: Vec::new(),
            prepared,
            weights,
            receipt,
            encryption,
        };
        exported.sealed = exported.seal(&self.folder.publisher_signing()?, COUNTER)?;
        exported.report.artefact_bytes = exported.sealed.len();
        files::write_atomic(&self.files.model, &exported.sealed)?;
        self.progress.note(&format!(
            "export  int8: {:.2} % on test, {} of {} predictions changed; {} bytes, signed (Ed25519) and encrypted",
            100.0 * exported.report.test_accuracy,
            exported.report.changed_predictions,
            exported.prepared.test.records,
            exported.report.artefact_bytes,
        ));
        Ok(exported)
    }

    /// The weights of an untrained network, presented with the trained one's receipt.
    fn swapped_weights(&self, finished: &Finished) -> Result<Trial> {
        let widths = finished.training.network;
        let shape = Shape::new(widths.inputs, widths.hidden, widths.classes)?;
        let other = glorot_uniform(&shape, self.demo.seed.wrapping_add(1));
        let other = weights::to_safetensors(&other, &finished.training.recipe);
        let refused = receipt::read(&self.files.receipt, &other, &self.owner_public);
        Ok(Trial::of(
            "weights swapped",
            "export",
            "it is about other weights",
            // Where the receipt lies is said at the end.
            refused.map_err(|e| {
                let said = e.to_string();
                let place = format!("{}: ", self.files.receipt.display());
                said.strip_prefix(&place).unwrap_or(&said).to_owned()
            }),
        ))
    }
}

impl Exported {
    /// The same model, signed by `signing` under `counter`.
    pub(super) fn seal(&self, signing: &SigningKey, counter: u32) -> Result<Vec<u8>> {
        let options = SealOptions {
            signing,
            encryption: Some(&self.encryption),
            counter,
            name: Name::new(MODEL_NAME)
                .ok_or_else(|| Error::input("the model's name is too long", ""))?,
            policy: ReplyPolicy::Label,
            kernel: Kernel::Dense,
            created: now(),
        };
        export::seal(&self.prepared, &self.weights, Some(&self.receipt), &options)
    }
}

/// The model's security counter; one below is an older model.
pub(super) const COUNTER: u32 = 2;

/// As [`sealnet export --max-loss`](crate::export::prepare) has it by default.
const MAX_LOSS_POINTS: f64 = 0.2;
const MODEL_NAME: &str = "mnist demo";
const WEIGHTS_NAME: &str = "model.safetensors";
