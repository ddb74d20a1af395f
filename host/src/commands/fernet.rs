//! `sealnet fernet`: tokens from standard input to standard output.

use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use sealnet::error::{Error, Result};
use sealnet::keys;
use sealnet_core::fernet::{self, FernetError, FernetKey, Iv, Keyring, Ttl};
use serde_json::json;

use super::Outcome;
use crate::cli::{FernetArgs, FernetCommand};
use crate::ui::Ui;

pub(crate) fn run(args: &FernetArgs, ui: &Ui) -> Result<Outcome> {
    match &args.command {
        FernetCommand::Encrypt { key_file, now } => encrypt(key_file, *now, ui),
        FernetCommand::Decrypt { key_file, ttl, now } => decrypt(key_file, *ttl, *now, ui),
        FernetCommand::Inspect { key_file } => inspect(key_file.as_deref(), ui),
    }
}

fn encrypt(key_file: &Path, now: Option<u64>, ui: &Ui) -> Result<Outcome> {
    let keys = keys::fernet_keys(key_file)?;
    let plaintext = input(MAX_PLAINTEXT, ui)?;
    let iv = Iv::try_random(&mut SysRng).map_err(|e| {
        Error::input(
            format!("the operating system gives no random bytes: {e}"),
            "nothing can be encrypted on this machine now",
        )
    })?;
    let time = at(now)?;
    let mut token = vec![0; fernet::text_len(fernet::binary_len(plaintext.len()))];
    let length = Keyring::new(&keys)
        .and_then(|ring| ring.encrypt_text(time, iv, &plaintext, &mut token))
        .map_err(|e| Error::input(e.to_string(), ""))?;
    token.truncate(length);
    if ui.json() {
        ui.document(&json!({
            "token": String::from_utf8_lossy(&token),
            "time": time,
            "key_id": keys.first().map(|key| key.key_id().to_string()),
        }))?;
    } else {
        token.push(b'\n');
        ui.bytes(&token)?;
    }
    Ok(Outcome::Done)
}

fn decrypt(key_file: &Path, ttl: Option<u64>, now: Option<u64>, ui: &Ui) -> Result<Outcome> {
    let keys = keys::fernet_keys(key_file)?;
    let mut token = input(MAX_TOKEN, ui)?;
    let ttl = match ttl {
        Some(seconds) => Some(Ttl {
            seconds,
            now: at(now)?,
        }),
        None => None,
    };
    let token = one_line(&mut token);
    let opened = Keyring::new(&keys).and_then(|ring| ring.decrypt_text_in_place(token, ttl));
    let opened = opened.map_err(|e| match e {
        FernetError::InvalidToken => Error::verification(
            "the token does not verify: changed, cut short, under another key, or out of its time",
            "sealnet fernet inspect shows what it claims to be",
        ),
        other => Error::input(other.to_string(), ""),
    })?;
    if ui.json() {
        let plaintext = std::str::from_utf8(opened.plaintext()).map_err(|_| {
            Error::input(
                "the plaintext is not UTF-8 text, which JSON could hold",
                "decrypt without --json",
            )
        })?;
        ui.document(&json!({"plaintext": plaintext, "time": opened.timestamp()}))?;
    } else {
        ui.bytes(opened.plaintext())?;
    }
    Ok(Outcome::Done)
}

fn inspect(key_file: Option<&Path>, ui: &Ui) -> Result<Outcome> {
    let keys = match key_file {
        Some(path) => Some(keys::fernet_keys(path)?),
        None => None,
    };
    let mut token = input(MAX_TOKEN, ui)?;
    let text = one_line(&mut token);
    let text_len = text.len();
    let malformed = |what: &str| {
        Error::verification(
            format!("this is not a Fernet token: {what}"),
            "expected one line of base64url that begins with gAAAA",
        )
    };
    let binary = fernet::decode_text_in_place(text)
        .map_err(|_| malformed("it is not canonical base64url with padding"))?;
    let time = fernet::untrusted_timestamp(binary)
        .map_err(|_| malformed("its version or its length is none of Fernet's"))?;
    let ciphertext_len = binary.len().saturating_sub(fernet::binary_len(0) - BLOCK);
    let opened_by = keys.as_deref().map(|keys| holder(keys, binary));

    ui.line("Fernet token, version 128 (0x80)")?;
    ui.line(format_args!("  time        {time} s since the Unix epoch"))?;
    ui.line(format_args!(
        "  size        {text_len} characters, {} bytes",
        binary.len()
    ))?;
    ui.line(format_args!(
        "  plaintext   {} to {} bytes",
        ciphertext_len.saturating_sub(BLOCK),
        ciphertext_len.saturating_sub(1)
    ))?;
    ui.line(match &opened_by {
        None => "  MAC         not checked (give --key-file): all of this is a claim".to_owned(),
        Some(None) => "  MAC         does not hold under any key of the file".to_owned(),
        Some(Some(id)) => format!("  MAC         holds under key {id}"),
    })?;
    ui.document(&json!({
        "version": 128,
        "time": time,
        "text_length": text_len,
        "binary_length": binary.len(),
        "ciphertext_length": ciphertext_len,
        "mac_holds": opened_by.as_ref().map(Option::is_some),
        "key_id": opened_by.as_ref().and_then(Option::as_ref),
    }))?;
    Ok(match opened_by {
        Some(None) => Outcome::Refused,
        _ => Outcome::Done,
    })
}

/// The id of the key under which the token verifies.
fn holder(keys: &[FernetKey], binary: &[u8]) -> Option<String> {
    let mut keys = keys.iter();
    let key = keys.find(|key| fernet::VerifiedToken::verify(key, binary, None).is_ok())?;
    Some(key.key_id().to_string())
}

/// All of standard input, bounded: Fernet holds a whole message in memory.
fn input(limit: u64, ui: &Ui) -> Result<Vec<u8>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        ui.say("reading standard input; end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    stdin
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", "standard input"))?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(
            format!("standard input is longer than {} MiB", limit >> 20),
            "Fernet keeps a whole message in memory; encrypt large data in pieces, as seal does",
        ));
    }
    Ok(bytes)
}

/// A token as it comes from a file: the newline at its end is not the token's.
fn one_line(token: &mut [u8]) -> &mut [u8] {
    let mut length = token.len();
    if token.ends_with(b"\n") {
        length -= 1;
        if token[..length].ends_with(b"\r") {
            length -= 1;
        }
    }
    &mut token[..length]
}

fn at(now: Option<u64>) -> Result<u64> {
    match now {
        Some(now) => Ok(now),
        None => match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Ok(since.as_secs()),
            Err(_) => Err(Error::input(
                "this machine's clock is before 1970",
                "set the clock, or give the time with --now",
            )),
        },
    }
}

/// What can be encrypted at once.
const MAX_PLAINTEXT: u64 = 256 << 20;

/// Its token: a third more in base64, and the framing.
const MAX_TOKEN: u64 = 344 << 20;

/// AES, in bytes.
const BLOCK: usize = 16;
