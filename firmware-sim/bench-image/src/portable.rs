//! The portable kernel.

use sealnet_core::artefact::ArtefactError;
use sealnet_firmware::shape::{CLASSES, SHAPE};

use crate::job::Job;
use crate::wire::Case;
use crate::{Serve, nothing, verified};

/// Loads what the job names and lends it to `serve`.
pub(crate) fn load(job: &Job, _: &mut [u8], serve: Serve<'_>) -> Result<(), ArtefactError> {
    if job.case() == Case::Nothing {
        serve(&mut nothing);
    }
    let (mut scratch, mut room) = ([0; SHAPE.golden_scratch_len()], [0; CLASSES]);
    let model = verified(job)?.open_in_place()?;
    let model = model.load_any(&mut scratch, &mut room)?;
    serve(&mut |features, logits| {
        // The buffers have the network's lengths.
        let _ = model.infer(features, &mut scratch, logits);
    });
    Ok(())
}
