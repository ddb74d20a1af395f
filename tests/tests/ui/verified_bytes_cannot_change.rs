//! What was verified is borrowed: nobody writes to it before it is used, or while it is.
use sealnet_core::artefact::{ArtefactError, Sealed};
use sealnet_core::fernet::FernetKey;
use sealnet_core::protocol::{AuthenticRequest, MessageError};
use sealnet_core::sign::TrustedKey;

fn between(file: &mut [u8], key: &TrustedKey) -> Result<(), ArtefactError> {
    let verified = Sealed::parse(file)?.verify(key, 0)?;
    file.fill(0); //~ E0502
    let _ = verified.open_in_place()?;
    Ok(())
}

fn after(
    file: &[u8],
    buffer: &mut [u8],
    trusted: &TrustedKey,
    key: &FernetKey,
) -> Result<[i32; 1], ArtefactError> {
    let opened = Sealed::parse(file)?.verify(trusted, 0)?.open(key, buffer)?;
    let deployed = opened.load::<4, 3, 2, 1>()?;
    buffer.fill(0); //~ E0499
    Ok(deployed.logits(&[0; 4]))
}

fn streamed(
    file: &mut [u8],
    trusted: &TrustedKey,
    key: &FernetKey,
) -> Result<[i32; 1], ArtefactError> {
    let opened = Sealed::parse(file)?.verify(trusted, 0)?.open_streamed(key)?;
    let deployed = opened.load::<4, 3, 2, 1>()?;
    file.fill(0); //~ E0502
    Ok(deployed.logits(&[0; 4]))
}

fn request(wire: &FernetKey, token: &mut [u8]) -> Result<u8, MessageError> {
    let request = AuthenticRequest::open(wire, token)?;
    token.fill(0); //~ E0499
    Ok(request.features()[0])
}

fn main() {}
