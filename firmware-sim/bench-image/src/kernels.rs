//! The kernels that the device has, and plain loops.

use sealnet_core::artefact::{ArtefactError, Deployed, InRam, Streamed};
use sealnet_core::fernet::FernetKey;
use sealnet_firmware::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT};

use crate::job::Job;
use crate::wire::Case;
use crate::{Serve, nothing, plain, verified};

type Model<'m, M> = Deployed<'m, INPUT, HIDDEN1, HIDDEN2, CLASSES, M>;

/// Loads what the job names and lends it to `serve`.
pub(crate) fn load(job: &Job, ram: &mut [u8], serve: Serve<'_>) -> Result<(), ArtefactError> {
    let key = FernetKey::from_bytes(job.key());
    match job.case() {
        Case::Nothing => serve(&mut nothing),
        Case::Clear => {
            let model: Model<'_, Streamed> = verified(job)?.open_in_place()?.load_for()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Confidential => {
            let verified = verified(job)?;
            let model: Model<'_, InRam> = verified.open(&key, ram)?.load()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Streamed => {
            let model: Model<'_, Streamed> = verified(job)?.open_streamed(&key)?.load()?;
            serve(&mut |features, logits| *logits = model.logits(features));
        }
        Case::Plain => serve(&mut |features, logits| plain::logits(job.plain(), features, logits)),
    }
    Ok(())
}
