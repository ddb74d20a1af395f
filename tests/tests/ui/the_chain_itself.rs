//! The control: the chain as it is meant compiles, so the others fail for their own reasons.
use sealnet_core::artefact::{ArtefactError, Sealed};
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::TrustedKey;

fn confidential(
    file: &[u8],
    buffer: &mut [u8],
    trusted: &TrustedKey,
    key: &FernetKey,
) -> Result<[i32; 1], ArtefactError> {
    let verified = Sealed::parse(file)?.verify(trusted, 3)?;
    let deployed = verified.open(key, buffer)?.load::<4, 3, 2, 1>()?;
    Ok(deployed.logits(&[0; 4]))
}

fn in_place(file: &[u8], trusted: &TrustedKey) -> Result<[i32; 1], ArtefactError> {
    let verified = Sealed::parse(file)?.verify(trusted, 3)?;
    let deployed = verified.open_in_place()?.load::<4, 3, 2, 1>()?;
    Ok(deployed.logits(&[0; 4]))
}

fn streamed(
    file: &[u8],
    trusted: &TrustedKey,
    key: &FernetKey,
) -> Result<[i32; 1], ArtefactError> {
    let verified = Sealed::parse(file)?.verify(trusted, 3)?;
    let deployed = verified.open_streamed(key)?.load::<4, 3, 2, 1>()?;
    Ok(deployed.logits(&[0; 4]))
}

fn main() {
    let _ = (confidential, in_place, streamed);
}
