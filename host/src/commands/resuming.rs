//! What `sealnet train` keeps of a training that is stopped, and goes on from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealnet::error::Result;
use sealnet::files;
use sealnet::keys::KeyFolder;
use sealnet::train::checkpoint::{self, Checkpoint, EVERY, Keeper};
use sealnet::train::log::Row;
use sealnet::train::session::Session;
use serde_json::{Value, json};

use super::watching::distinct;
use crate::cli::TrainArgs;
use crate::interrupt;
use crate::ui::Ui;

/// Where the checkpoint lies.
pub(super) struct Resuming {
    path: PathBuf,
    fresh: bool,
}

/// A training that is kept as it goes on.
pub(super) struct Resumed {
    /// Where an earlier sitting stopped.
    pub(super) from: Option<Checkpoint>,
    keeper: Arc<Keeper>,
}

impl Resuming {
    /// # Errors
    /// [`Error::Input`](sealnet::error::Error::Input) when the checkpoint would lie in one of the `inputs`, or is
    /// another output too.
    pub(super) fn prepare(
        args: &TrainArgs,
        inputs: &[&Path],
        outputs: &[&Path],
    ) -> Result<Resuming> {
        let path = checkpoint::path_beside(&args.output);
        files::refuse_overwriting(&path, inputs)?;
        distinct(&path, outputs)?;
        Ok(Resuming {
            path,
            fresh: args.fresh,
        })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds what an earlier sitting left, and from now on keeps what this one does.
    ///
    /// # Errors
    /// As [`Checkpoint::find`].
    pub(super) fn start(
        &self,
        session: &Session<'_>,
        keys: &KeyFolder,
        ui: &Ui,
    ) -> Result<Resumed> {
        let from = match self.fresh {
            true => {
                checkpoint::discard(&self.path)?;
                None
            }
            false => Checkpoint::find(&self.path, &keys.owner_public()?, session.identity())?,
        };
        if let Some(from) = &from {
            ui.say(format!(
                "goes on from {}: {}, after {:.1} s",
                self.path.display(),
                from.place(),
                from.seconds
            ));
        }
        let keeper = Keeper::new(&self.path, keys.owner_signing()?, EVERY, from.clone());
        let keeper = Arc::new(keeper);
        interrupt::keep(&keeper);
        Ok(Resumed { from, keeper })
    }
}

impl Resumed {
    /// The rows of the log that are there already.
    pub(super) fn rows(&self) -> Vec<Row> {
        let epochs = self.from.iter().flat_map(Checkpoint::epochs);
        let row = |(phase, done): (&str, _)| Row {
            phase: phase.to_owned(),
            done,
        };
        epochs.map(row).collect()
    }

    /// What takes checkpoints. One that cannot be written is no reason to stop: it is told once.
    pub(super) fn keep<'a>(&'a self, ui: &'a Ui) -> impl FnMut(Checkpoint) + Send + 'a {
        let mut told = false;
        move |checkpoint| {
            if let Err(e) = self.keeper.keep(checkpoint)
                && !told
            {
                ui.warn(format!("no checkpoint is kept: {e}"));
                told = true;
            }
        }
    }

    /// There will be no result: keeps what was done, and says where.
    pub(super) fn stop(&self, ui: &Ui) {
        if let Some(kept) = self.keeper.stop() {
            ui.say(kept.tell());
        }
    }

    /// The result is on the disk: nothing is left to go on with.
    pub(super) fn finish(&self, ui: &Ui) {
        if let Err(e) = self.keeper.finish() {
            ui.warn(format!(
                "the checkpoint of a training that is over stays: {e}"
            ));
        }
    }

    /// Adds to the result's document where it went on.
    pub(super) fn describe(&self, document: &mut Value) {
        if let Some(from) = &self.from {
            let (phase, done, _) = from.snapshot.place(&from.identity.recipe);
            document["resumed_from_phase"] = json!(phase);
            document["resumed_from_epoch"] = json!(done);
        }
    }
}
