//! A disk that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk, in pages of 4 KiB, mounted until dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of 64 KiB as `folder/disk`.
    pub fn mounted_in(folder: &Path) -> SmallDisk {
        SmallDisk::of_size(folder, 64)
    }

    /// Mounts one of so many KiB as `folder/disk`.
    pub fn of_size(folder: &Path, kib: u32) -> SmallDisk {
        let disk = SmallDisk(folder.join("disk"));
        fs::create_dir(&disk.0).expect("the folder can be made");
        // A check that skips itself proves nothing.
        assert!(
            disk.as_root(&format!("mount -t tmpfs -o size={kib}k tmpfs")),
            "a small disk cannot be mounted: run this test as root, or with sudo that asks no password"
        );
        disk
    }

    /// Only root may mount.
    fn as_root(&self, command: &str) -> bool {
        let run = |words: &str| {
            let mut words = words.split(' ').chain(command.split(' '));
            let mut program = Command::new(words.next().unwrap_or_default());
            let done = program.args(words).arg(&self.0).output();
            done.is_ok_and(|done| done.status.success())
        };
        run("env") || run("sudo -n")
    }

    /// Where a file on it lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of what lies on it, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the disk is mounted");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("it can be read").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.as_root("umount");
    }
}
