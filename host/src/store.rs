//! Where a vault lies: an object store, reached by a path or a URL.
//!
//! Version 1 keeps vaults in a local folder, through [`object_store::local::LocalFileSystem`]. A location
//! is a path or a `file://` URL; any other scheme is refused with the list of what is supported, so that
//! `s3://` can be added without changing what a location looks like.
//!
//! Three rules make a store fit for a vault:
//!
//! - **Objects are immutable.** [`Store::put_new`] creates an object or says that its name is taken; nothing
//!   here overwrites. Of two writers of one name exactly one wins. [`Store::discard`] is for a writer's own
//!   objects that nothing names yet.
//! - **A returned put is durable.** The file is written under a staging name, synced, linked to its own name,
//!   and its folder synced, before the call returns (`LocalFileSystem::with_fsync`; it does not sync by
//!   default). An interrupted put leaves at most a staging file `NAME#1`, which no listing shows.
//! - **Reads are bounded.** [`Store::get`] learns an object's size from the handle it reads from and refuses
//!   more than the caller allows, before allocating.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::error::{Error, Result};
use crate::files;
use crate::state::Location;

/// A place that holds immutable objects by name.
#[derive(Debug)]
pub struct Store {
    objects: Arc<LocalFileSystem>,
    root: PathBuf,
    runtime: Runtime,
}

/// What became of a [`Store::put_new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there, whole and synced.
    Created,
    /// Another object has that name; it was left alone.
    Taken,
}

/// What [`Store::get`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The whole object.
    Found(Bytes),
    /// No such object.
    Absent,
    /// An object of this many bytes, more than the caller allows; nothing was read.
    TooLarge(u64),
    /// Something else has its name: `a folder`, `a pipe`, `a device`. Nothing was read.
    Odd(&'static str),
}

impl Store {
    /// The store at `location`, a path or a `file://` URL, which must exist.
    ///
    /// # Errors
    /// [`Error::Input`] when the location's scheme is not supported or it is not a folder, [`Error::Io`]
    /// when it is not there or cannot be entered.
    pub fn open(location: &str) -> Result<Store> {
        let root = local_folder(location)?;
        let metadata = std::fs::metadata(&root).map_err(Error::io("open the store", &root))?;
        if !metadata.is_dir() {
            return Err(Error::input(
                format!("the store {} is a file, not a folder", root.display()),
                "a vault is a folder: name the folder that `sealnet seal` made",
            ));
        }
        Store::at(root)
    }

    /// The store at `location`, made if it is not there.
    ///
    /// # Errors
    /// As [`Store::open`], and [`Error::Io`] when it cannot be made.
    pub fn create(location: &str) -> Result<Store> {
        let root = local_folder(location)?;
        if std::fs::symlink_metadata(&root).is_err() {
            files::create_dir_all(&root)?;
            files::sync_folder(files::parent(&root))?;
        }
        Store::open(location)
    }

    fn at(root: PathBuf) -> Result<Store> {
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|e| failure("open the store", &root, &e))?
            .with_fsync(true);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(requests_in_flight())
            .build()
            .map_err(Error::io("start threads for the store", &root))?;
        Ok(Store {
            objects: Arc::new(objects),
            root,
            runtime,
        })
    }

    /// The store's place, for people.
    pub fn location(&self) -> String {
        self.root.display().to_string()
    }

    /// The store's place, as it is remembered.
    pub fn place(&self) -> Location {
        Location::of(&self.root)
    }

    /// Whether `path`, which need not exist, is the store's folder or lies in it.
    pub fn holds(&self, path: &Path) -> bool {
        files::lies_in(path, &self.root)
    }

    /// Runs `work`, which may await this store's requests.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Creates the object `name`, whole and synced, unless something has that name.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses; the object is then not there.
    pub async fn put_new(&self, name: &str, content: impl Into<PutPayload>) -> Result<Put> {
        let options = PutOptions::from(PutMode::Create);
        match self
            .objects
            .put_opts(&Key::from(name), content.into(), options)
            .await
        {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Taken),
            Err(e) => Err(failure("write", &self.path_of(name), &e)),
        }
    }

    /// Takes away an object that this writer has created and that nothing names, as far as that is possible.
    pub async fn discard(&self, name: &str) {
        // The object does no harm where it stays.
        let _ = self.objects.delete(&Key::from(name)).await;
    }

    /// Reads the object `name` if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when it is there and cannot be read.
    pub async fn get(&self, name: &str, limit: u64) -> Result<Fetched> {
        let path = self.path_of(name);
        let failed = |e: object_store::Error| failure("read", &path, &e);
        // A pipe or a device in an object's place would block or never end.
        match std::fs::metadata(&path) {
            Ok(there) if there.is_file() => {}
            Ok(there) => return Ok(Fetched::Odd(kind_of(&there))),
            // A file in the place of the folder around it.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Fetched::Absent);
            }
            Err(e) => return Err(Error::io("read", &path)(e)),
        }
        let found = match self.objects.get(&Key::from(name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Fetched::Absent),
            Err(e) => return Err(failed(e)),
        };
        if found.meta.size > limit {
            return Ok(Fetched::TooLarge(found.meta.size));
        }
        Ok(Fetched::Found(found.bytes().await.map_err(failed)?))
    }

    /// The names of the objects directly in the store, not in its folders, in order.
    ///
    /// # Errors
    /// [`Error::Io`] when the store cannot be listed.
    pub async fn names(&self) -> Result<Vec<String>> {
        let listed = self
            .objects
            .list_with_delimiter(None)
            .await
            .map_err(|e| failure("list", &self.root, &e))?;
        let mut names: Vec<String> = listed
            .objects
            .into_iter()
            .map(|object| object.location.to_string())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where the object `name` lies, for people.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// How many requests wait for the store at a time: one a core, and two, so that reading, writing and
/// computing overlap.
pub fn requests_in_flight() -> usize {
    rayon::current_num_threads() + 2
}

fn kind_of(metadata: &std::fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) {
        return "a pipe";
    }
    "a device or a socket"
}

/// The local folder that `location` names.
///
/// # Errors
/// [`Error::Input`] when it names none.
pub fn local_folder(location: &str) -> Result<PathBuf> {
    let Some((scheme, _)) = location.split_once("://") else {
        if location.is_empty() {
            return Err(Error::input(
                "the store has no name",
                "give a folder or a file:// URL",
            ));
        }
        return Ok(PathBuf::from(location));
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(Error::input(
            format!("the store {location} cannot be used: {scheme}:// is not supported"),
            "supported are local folders: a path, or a file:// URL",
        ));
    }
    Url::parse(location)
        .ok()
        .and_then(|url| url.to_file_path().ok())
        .ok_or_else(|| {
            Error::input(
                format!("the store {location} names no local folder"),
                "a file URL has three slashes, as in file:///home/me/vault",
            )
        })
}

/// The operating system's answer, dug out of what object_store wraps it in.
fn failure(action: &'static str, path: &Path, error: &object_store::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && let Some(code) = io.raw_os_error()
        {
            return Error::io(action, path)(io::Error::from_raw_os_error(code));
        }
        cause = inner.source();
    }
    Error::io(action, path)(io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        assert_eq!(local_folder("a/b").unwrap(), Path::new("a/b"));
        assert_eq!(local_folder("file:///a%20b").unwrap(), Path::new("/a b"));
        let s3 = local_folder("s3://bucket/vault").unwrap_err();
        assert_eq!(s3.exit_code(), 2);
        assert!(s3.to_string().contains("s3:// is not supported"), "{s3}");
        assert!(local_folder("").is_err() && local_folder("file://elsewhere/vault").is_err());
    }

    #[test]
    fn objects_are_created_once_and_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("new/vault");
        let location = location.to_str().unwrap();
        assert_eq!(Store::open(location).unwrap_err().exit_code(), 2);
        let store = Store::create(location).unwrap();
        store.block_on(async {
            let put = |content: &'static str| store.put_new("shards/a", content.as_bytes());
            assert_eq!(put("one").await.unwrap(), Put::Created);
            assert_eq!(put("two").await.unwrap(), Put::Taken);
            let get = |limit| store.get("shards/a", limit);
            assert_eq!(get(3).await.unwrap(), Fetched::Found(Bytes::from("one")));
            assert_eq!(get(2).await.unwrap(), Fetched::TooLarge(3));
            assert_eq!(store.get("shards/b", 9).await.unwrap(), Fetched::Absent);
            let folder = store.get("shards", 9).await.unwrap();
            assert_eq!(folder, Fetched::Odd("a folder"));
            assert_eq!(store.get("shards/a/b", 9).await.unwrap(), Fetched::Absent);
            store.put_new("top", "x".as_bytes()).await.unwrap();
            std::fs::write(Path::new(location).join("half#1"), "").unwrap();
            assert_eq!(store.names().await.unwrap(), ["top"]);
        });
    }
}
