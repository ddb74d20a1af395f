//! Who is attacked: a network in real numbers, or a sealed one in integers.

use std::path::Path;

use sealnet::attack::surrogate;
use sealnet::dataset::{Dataset, Form};
use sealnet::error::{Error, Result};
use sealnet::infer;
use sealnet::keys::{self, KeyFolder};
use sealnet::model::ModelFile;
use sealnet::quantise::integer_logits;
use sealnet::train::{Compute, InputMap, Judge, Network, Records};
use sealnet::weights;
use sealnet_core::artefact::MAGIC;
use sealnet_core::mlp::{self, argmax};

use crate::cli::{EvasionArgs, InputOption};
use crate::ui::Ui;

/// Who is attacked.
pub(super) struct Victim<'a> {
    /// The network whose gradients the attack follows; it takes `u / 255 - ½`.
    pub(super) network: Network,
    /// Who answers, where that is another.
    pub(super) integers: Option<&'a mlp::Network<'a>>,
    /// The form of its records, where its publisher signed one.
    pub(super) form: Option<Form>,
    /// What it is, for people and programs.
    pub(super) kind: String,
    compute: Compute,
}

/// Reads and, where it is sealed, verifies the model, and lends it to `work`.
pub(super) fn with<T>(
    args: &EvasionArgs,
    ui: &Ui,
    work: impl FnOnce(&Victim<'_>) -> Result<T>,
) -> Result<T> {
    let model = ModelFile::read(&args.model)?;
    let compute = args.compute.compute()?;
    if !model.bytes().starts_with(&MAGIC) {
        return work(&Victim {
            network: network(&args.model, &args.input, ui)?,
            integers: None,
            form: None,
            kind: "f32".into(),
            compute,
        });
    }
    if args.input.expression.is_some() {
        return Err(Error::input(
            "--input is for weights: a sealed model says itself what it takes",
            "leave --input out",
        ));
    }
    let Some(dir) = &args.keys else {
        return Err(Error::input(
            format!("{} is sealed, and there are no keys", args.model.display()),
            "say --keys DIR, the folder that `sealnet keygen` made",
        ));
    };
    let device = KeyFolder::open(dir)?.device(&keys::device_name(&args.device)?)?;
    model.deployed(&device.publisher, device.model.as_ref(), 0, |deployed| {
        let integers = deployed.network();
        work(&Victim {
            network: surrogate(integers, deployed.logit_scale())?,
            integers: Some(integers),
            form: Some(infer::form(deployed)?),
            kind: integers.quantisation().weights.to_string(),
            compute,
        })
    })
}

/// The network of a weight file.
pub(super) fn network(path: &Path, input: &InputOption, ui: &Ui) -> Result<Network> {
    let (_, imported) = weights::read_as(path, input.expression)?;
    if !imported.input_is_known {
        ui.warn(format!(
            "the weights do not say what they were trained on: taken for {}; if it was another, say --input",
            imported.input
        ));
    }
    Ok(imported.network)
}

impl Victim<'_> {
    /// What it takes those of `records` that `which` names for.
    pub(super) fn predictions(&self, records: Records<'_>, which: &[u32]) -> Result<Vec<u16>> {
        if let Some(integers) = self.integers {
            let classes = usize::from(integers.shape().output());
            let logits = integer_logits(integers, records, which)?;
            let rows = logits.chunks_exact(classes);
            return Ok(rows.map(|logits| argmax(logits) as u16).collect());
        }
        self.surrogate_predictions(records, which)
    }

    /// What the network that is followed takes them for.
    pub(super) fn surrogate_predictions(
        &self,
        records: Records<'_>,
        which: &[u32],
    ) -> Result<Vec<u16>> {
        let judge = Judge::new(&self.network, &InputMap::centred(), self.compute);
        judge.predictions(records, which)
    }

    /// Refuses records that it does not take.
    pub(super) fn check(&self, data: &Dataset, ui: &Ui) -> Result<()> {
        if let Some(form) = &self.form
            && let Some(warning) = form.check(data)?
        {
            ui.warn(warning);
        }
        Ok(())
    }
}
