//! MNIST itself: fetched with its digests, read through its crate.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use sealnet::dataset::{Dataset, fetch, idx};
use sealnet::progress::Silent;
use sealnet_tests::{Ran, sealnet};

/// The real files: the cache that `tests/run` filled.
fn mnist() -> PathBuf {
    let fetched = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    fetched.folder
}

#[test]
fn mnist_is_itself_through_its_crate_and_without_it() {
    let folder = mnist();
    let data = idx::read_folder(&folder).unwrap();
    assert_eq!(
        (data.name.as_str(), data.count(), data.classes),
        ("mnist", 70_000, 10)
    );
    assert_eq!(data.shape, [28, 28]);
    assert_eq!(data.part("train").unwrap().range(), 0..60_000);
    assert_eq!(data.part("test").unwrap().range(), 60_000..70_000);
    assert_eq!(data.labels[..4], [5, 0, 4, 1]);
    // Through our own reader the same: one file is gzipped, which the crate does not read.
    let dir = tempfile::tempdir().unwrap();
    for file in fetch::MNIST_FILES {
        let bytes = fs::read(folder.join(file.name)).unwrap();
        if file.name.starts_with("t10k-labels") {
            fs::write(dir.path().join(format!("{}.gz", file.name)), gzip(&bytes)).unwrap();
        } else {
            fs::write(dir.path().join(file.name), bytes).unwrap();
        }
    }
    let ours = idx::read_folder(dir.path()).unwrap();
    assert_ne!(ours.name, "mnist");
    assert_eq!(
        Dataset {
            name: data.name.clone(),
            ..ours
        },
        data
    );
}

#[test]
fn what_only_looks_like_mnist_is_another_data_set() {
    let folder = mnist();
    let dir = tempfile::tempdir().unwrap();
    for file in fetch::MNIST_FILES {
        fs::copy(folder.join(file.name), dir.path().join(file.name)).unwrap();
    }
    let change = |name: &str, at: usize, byte: u8| {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = byte;
        fs::write(path, bytes).unwrap();
    };
    change("train-labels-idx1-ubyte", 8, 6);
    assert!(!fetch::has_mnist(dir.path()));
    let data = idx::read_folder(dir.path()).unwrap();
    assert_ne!(data.name, "mnist");
    assert_eq!(data.labels[0], 6);
    // On a header like this the crate panics; the user hears what is wrong instead.
    change("train-images-idx3-ubyte", 2, 9);
    let error = idx::read_folder(dir.path()).unwrap_err();
    assert!(error.to_string().contains("type 0x09"), "{error}");
}

#[test]
fn under_its_name_only_the_published_files_are_read() {
    let folder = mnist();
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache/mnist");
    fs::create_dir_all(&cache).unwrap();
    for file in fetch::MNIST_FILES {
        fs::copy(folder.join(file.name), cache.join(file.name)).unwrap();
    }
    // Another part beside the four files is none of MNIST's.
    for name in ["more-images-idx3-ubyte", "more-labels-idx1-ubyte"] {
        fs::copy(cache.join(name.replace("more", "t10k")), cache.join(name)).unwrap();
    }
    let labels = cache.join("t10k-labels-idx1-ubyte");
    let genuine = fs::read(&labels).unwrap();
    let mut forged = genuine.clone();
    forged[8] ^= 1;

    let open = idx::IdxFolder::mnist(&cache).unwrap();
    assert_eq!((open.name.as_str(), open.count()), ("mnist", 70_000));
    // Another file put in its place after its digest was taken is not the one that is read.
    fs::write(dir.path().join("forged"), &forged).unwrap();
    fs::rename(dir.path().join("forged"), &labels).unwrap();
    let (read, _) = open.read(60_000, 10_000).unwrap();
    assert!(
        read.iter()
            .zip(&genuine[8..])
            .all(|(a, b)| *a == u16::from(*b))
    );

    // Changed, cut short or emptied: an error that says what mends it, whoever reads.
    for other in [&forged[..], &genuine[..100], &[]] {
        fs::write(&labels, other).unwrap();
        for error in [
            idx::IdxFolder::mnist(&cache).map(drop).unwrap_err(),
            idx::read_mnist(&cache).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.exit_code(), 1, "{error}");
            assert!(error.to_string().contains("t10k-labels"), "{error}");
            assert!(error.hint().contains("sealnet fetch mnist"), "{error}");
        }
    }
    let made = Ran::new(sealnet(dir.path()).args(["keygen", "keys"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let sealed = Ran::new(sealnet(dir.path()).args(["seal", "mnist", "vault", "--keys", "keys"]));
    assert_eq!(sealed.code, 1, "{}", sealed.stderr);
    assert!(
        sealed.stderr.contains("sealnet fetch mnist"),
        "{}",
        sealed.stderr
    );
    assert!(!dir.path().join("vault").exists());
}

#[test]
fn fetching_from_a_folder_checks_digests_and_harms_nothing() {
    let folder = mnist();
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    let to = dir.path().join("to");
    fs::create_dir(&from).unwrap();
    for file in fetch::MNIST_FILES {
        let bytes = fs::read(folder.join(file.name)).unwrap();
        fs::write(from.join(format!("{}.gz", file.name)), gzip(&bytes)).unwrap();
    }
    let fetched = fetch::mnist(Some(&from), Some(&to), &Silent).unwrap();
    assert_eq!(
        (fetched.folder.as_path(), fetched.cached),
        (to.as_path(), false)
    );
    assert!(fetch::has_mnist(&to));
    assert!(fetch::mnist(None, Some(&to), &Silent).unwrap().cached);

    let labels = from.join("t10k-labels-idx1-ubyte");
    fs::write(&labels, [0; 10_008]).unwrap();
    let error = fetch::mnist(Some(&from), Some(&to), &Silent).unwrap_err();
    assert_eq!(error.exit_code(), 1, "another digest: {error}");
    fs::write(&labels, [0; 9]).unwrap();
    assert_eq!(
        fetch::mnist(Some(&from), Some(&to), &Silent)
            .unwrap_err()
            .exit_code(),
        1
    );
    fs::remove_file(&labels).unwrap();
    fs::remove_file(from.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let error = fetch::mnist(Some(&from), Some(&to), &Silent).unwrap_err();
    assert_eq!(error.exit_code(), 2, "missing: {error}");
    assert!(fetch::has_mnist(&to), "what was there is unharmed");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
