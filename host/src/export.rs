//! From trained weights to a sealed model.
//!
//! [`prepare`] decides whether the integer network is good enough, on validation records; [`seal`] makes
//! the artefact and takes it through its own proof chain before anyone gets it.

use sealnet_core::artefact::{self, BodySpec, Claims, Encryption};
use sealnet_core::artefact::{
    ColumnScaling, NAME_BYTES_MAX, Name, NamesSpec, Provenance, ReplyPolicy,
};
use sealnet_core::fernet::{FernetKey, Iv};
use sealnet_core::mlp::{Kernel, Quantisation, WeightType};
use sealnet_core::sign::{SigningKey, sha512};
use zeroize::Zeroizing;

use crate::dataset::Dataset;
use crate::dataset::split::Split;
use crate::error::{Error, Result};
use crate::model::ModelFile;
use crate::quantise::{self, Comparison, Options, Quantised};
use crate::receipt::{Origin, Verified};
use crate::train::{self, Backend, Network, Records};
use crate::weights::{Imported, Input};

/// An integer network that is good enough to be sealed, with its figures.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The network.
    pub quantised: Quantised,
    /// Beside the real network on validation records.
    pub validation: Comparison,
    /// Beside the real network on test records.
    pub test: Comparison,
    scaling: Option<Vec<ColumnScaling>>,
    columns: Vec<String>,
    classes: Vec<String>,
}

/// Quantises `network` and judges the result.
///
/// # Errors
/// [`Error::Verification`] when the integers lose more than `max_loss` percentage points of accuracy on
/// validation records, [`Error::Input`] when data and network do not fit, or a column or class has a name
/// that a sealed model cannot hold.
pub fn prepare(
    network: &Network,
    data: &Dataset,
    split: &Split,
    quantisation: Quantisation,
    max_loss: f64,
) -> Result<Prepared> {
    let [columns, classes] = names(data)?;
    let records = Records::from(data);
    let backend = Backend::detect();
    let options = Options {
        records,
        training: &split.train,
        validation: &split.validation,
        quantisation,
        backend,
    };
    let quantised = quantise::quantise(network, &options)?;
    let integer = quantised.network()?;
    let validation = quantise::compare(network, &integer, records, &split.validation, backend)?;
    let loss = validation.loss_points();
    if loss > max_loss {
        return Err(Error::verification(
            format!(
                "the integer network loses {loss:.2} points on validation ({:.2} % against {:.2} %); \
                 at most {max_loss} are allowed",
                100.0 * validation.integer_accuracy(),
                100.0 * validation.real_accuracy(),
            ),
            match quantisation.weights {
                WeightType::Int4 => {
                    "take --weights int8, train it longer or with other widths, or allow more with --max-loss"
                }
                _ => "train it longer or with other widths, or allow more with --max-loss",
            },
        ));
    }
    let test = quantise::compare(network, &integer, records, &split.test, backend)?;
    let scaling = data.scaling.as_ref().map(|columns| {
        let of = |column: &crate::dataset::Column| ColumnScaling {
            offset: column.offset as f32,
            scale: column.scale as f32,
        };
        columns.iter().map(of).collect()
    });
    Ok(Prepared {
        quantised,
        validation,
        test,
        scaling,
        columns,
        classes,
    })
}

/// The input on which a network was likelier trained than on the one that it was read with, and how many percent of
/// validation records it is right about over that one and over this: of those that people use the best, if that is a
/// point and some records above. Nothing in a weight file shows a wrong one, and accuracy alone suffers.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn likelier_input(
    imported: &Imported,
    data: &Dataset,
    split: &Split,
) -> Result<Option<(Input, [f64; 2])>> {
    let records = Records::from(data);
    let which = &split.validation[..split.validation.len().min(INPUT_RECORDS)];
    let judge = |network: &Network| train::evaluate(network, records, which, Backend::detect());
    let said = judge(&imported.network)?;
    let mut best = (imported.input, said);
    for other in Input::USUAL {
        let metrics = judge(&imported.input.instead(other, &imported.network))?;
        if metrics.correct > best.1.correct {
            best = (other, metrics);
        }
    }
    let (other, better) = best;
    let gained = better.correct - said.correct;
    let clear = gained >= SOME_RECORDS && 100 * gained >= said.records;
    Ok(clear.then(|| (other, [better, said].map(|of| 100.0 * of.accuracy()))))
}

/// How a model is to be sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealOptions<'k> {
    /// Signs it.
    pub signing: &'k SigningKey,
    /// Encrypts it; `None` leaves the body clear, to be run where it lies.
    pub encryption: Option<&'k FernetKey>,
    /// Rises with each model that must not be rolled back.
    pub counter: u32,
    /// For people.
    pub name: Name,
    /// What a device may answer.
    pub policy: ReplyPolicy,
    /// Which kernel a device runs it with.
    pub kernel: Kernel,
    /// When, seconds since the Unix epoch.
    pub created: u64,
}

/// Seals a prepared network; `weights` are the bytes of its weight file and `receipt` what vouches for
/// them. The artefact has been verified, opened and loaded again when it is returned.
///
/// # Errors
/// [`Error::Input`] when it cannot be sealed, or the system has no random bytes.
pub fn seal(
    prepared: &Prepared,
    weights: &[u8],
    receipt: Option<&Verified>,
    options: &SealOptions<'_>,
) -> Result<Vec<u8>> {
    let network = prepared.quantised.network()?;
    let shape = network.shape();
    // From the weights, so that one network always has the same golden vectors.
    let mut seed = [0; 8];
    seed.copy_from_slice(&sha512(&[weights])[..8]);
    let columns: Vec<&str> = prepared.columns.iter().map(String::as_str).collect();
    let classes: Vec<&str> = prepared.classes.iter().map(String::as_str).collect();
    let spec = BodySpec {
        network,
        logit_scale: prepared.quantised.logit_scale,
        golden_seed: u64::from_le_bytes(seed),
        golden_count: GOLDEN_VECTORS,
        policy: options.policy,
        kernel: options.kernel,
        scaling: prepared.scaling.as_deref(),
        names: (!columns.is_empty() || !classes.is_empty()).then_some(NamesSpec {
            columns: &columns,
            classes: &classes,
        }),
    };
    let mut plaintext = Zeroizing::new(vec![0; spec.body_len()]);
    let mut scratch = vec![0; shape.golden_scratch_len()];
    let mut logits = vec![0; usize::from(shape.output())];
    let body =
        artefact::write_body(&mut plaintext, &spec, &mut scratch, &mut logits).map_err(cannot)?;
    let claims = Claims {
        security_counter: options.counter,
        provenance: provenance(receipt),
        created: options.created,
        name: options.name,
    };
    let encryption = match options.encryption {
        Some(key) => Some(Encryption {
            key,
            iv: random_iv()?,
            time: options.created,
        }),
        None => None,
    };
    let length = artefact::sealed_len(body.bytes().len(), encryption.is_some());
    let mut sealed = vec![0; length];
    artefact::seal(&claims, body, options.signing, encryption, &mut sealed).map_err(cannot)?;

    let file = ModelFile::from_bytes("the model just made".into(), sealed);
    let trusted = options.signing.trusted();
    file.deployed(&trusted, options.encryption, options.counter, |_| Ok(()))?;
    Ok(file.into_bytes())
}

/// What the artefact says about where its weights come from.
pub fn provenance(receipt: Option<&Verified>) -> Provenance {
    match receipt {
        None => Provenance::Unverified,
        Some(receipt) => match receipt.training().data.origin {
            Origin::Manifest { .. } => Provenance::SealedData(*receipt.digest()),
            Origin::UnsignedVault { .. } | Origin::Unsealed => {
                Provenance::UnsealedData(*receipt.digest())
            }
        },
    }
}

/// Names as a sealed model holds them; none when there are none.
/// Names of columns and classes as a model holds them; none where there are none.
///
/// # Errors
/// [`Error::Input`] when one does not fit.
pub fn names(data: &Dataset) -> Result<[Vec<String>; 2]> {
    let columns = data
        .headings
        .as_ref()
        .map(|headings| headings.features.as_slice());
    Ok([
        storable(columns, "column")?,
        storable(data.class_names.as_deref(), "class")?,
    ])
}

fn storable(names: Option<&[String]>, what: &str) -> Result<Vec<String>> {
    let names = names.unwrap_or_default();
    let unfit = |name: &&String| {
        name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control)
    };
    match names.iter().find(unfit) {
        None => Ok(names.to_vec()),
        Some(name) => Err(Error::input(
            format!("a sealed model cannot hold {name:?} as the name of a {what}"),
            format!(
                "names have 1 to {NAME_BYTES_MAX} bytes and no control characters; rename it in the data"
            ),
        )),
    }
}

fn random_iv() -> Result<Iv> {
    Iv::try_random(&mut getrandom::SysRng).map_err(|e| {
        Error::input(
            format!("the operating system gives no random bytes: {e}"),
            "",
        )
    })
}

fn cannot(reason: impl std::fmt::Display) -> Error {
    Error::input(format!("the model cannot be sealed: {reason}"), "")
}

/// Golden vectors of a model: two of each kind.
const GOLDEN_VECTORS: u16 = 4;

/// Validation records that an input is judged by.
const INPUT_RECORDS: usize = 10_000;
/// Fewer of them are chance.
const SOME_RECORDS: u64 = 20;
