//! Where verified records go: into memory, or into files that appear when everything has verified.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::records::{About, RecordSink};
use crate::dataset::csv::Rows;
use crate::dataset::{Dataset, Part, idx};
use crate::error::{Error, Result};
use crate::files::StagedDir;

/// Collects records into a [`Dataset`], which exists only once all have verified.
#[derive(Debug, Default)]
pub struct DatasetSink {
    labels: Vec<u16>,
    features: Vec<u8>,
    dataset: Option<Dataset>,
}

impl DatasetSink {
    /// The data set, if everything verified.
    pub fn into_dataset(self) -> Option<Dataset> {
        self.dataset
    }
}

impl RecordSink for DatasetSink {
    fn begin(&mut self, about: &About) -> Result<()> {
        let records = usize::try_from(about.records).unwrap_or(usize::MAX);
        let bytes = records.saturating_mul(about.feature_count());
        // An index may claim anything: what is more than this is believed when it comes.
        self.features
            .try_reserve_exact(bytes.min(MAX_RESERVED))
            .map_err(|_| out_of_memory(records))
    }

    fn accept(&mut self, _part: usize, labels: &[u16], features: &[u8]) -> Result<()> {
        self.labels
            .try_reserve(labels.len())
            .and_then(|()| self.features.try_reserve(features.len()))
            .map_err(|_| out_of_memory(self.labels.len()))?;
        self.labels.extend_from_slice(labels);
        self.features.extend_from_slice(features);
        Ok(())
    }

    fn finish(&mut self, about: &About) -> Result<()> {
        let mut start = 0;
        let parts = about.parts.iter().map(|part| {
            let from = start;
            start += part.records;
            Part {
                name: part.name.clone(),
                start: from,
                len: part.records,
            }
        });
        let dataset = Dataset {
            name: about.name.clone(),
            shape: about.shape.clone(),
            classes: about.classes,
            parts: parts.collect(),
            features: std::mem::take(&mut self.features),
            labels: std::mem::take(&mut self.labels),
            scaling: about.scaling.clone(),
            class_names: about.class_names.clone(),
            headings: about.headings.clone(),
        };
        self.dataset = Some(dataset.checked()?);
        Ok(())
    }
}

/// Writes records where [`crate::dataset::load`] reads them again: a folder of IDX files, or a CSV file when the
/// records are a table of one part, its features stand for reals, its classes have names or its labels need
/// more than a byte. It is written under a
/// temporary name and renamed when all has verified; dropped before, it is gone.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    output: Option<Output>,
}

impl FileSink {
    /// Will write to `path`, where nothing may be yet (an empty folder is fine for IDX files).
    pub fn new(path: &Path) -> FileSink {
        FileSink {
            path: path.to_owned(),
            output: None,
        }
    }
}

impl RecordSink for FileSink {
    fn begin(&mut self, about: &About) -> Result<()> {
        let named = about.scaling.is_some() || about.class_names.is_some();
        let table = about.shape.len() == 1 && about.parts.len() == 1;
        let csv = named || table || about.classes > 256;
        if csv && self.path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(Error::input(
                format!(
                    "{} names a folder, and these records become one CSV file",
                    self.path.display()
                ),
                "leave the slash at its end out",
            ));
        }
        self.output = Some(if csv {
            let rows = Rows::create(
                &self.path,
                about.feature_count(),
                about.headings.as_ref(),
                about.scaling.as_deref(),
                about.class_names.as_deref(),
            )?;
            Output::Csv(Box::new(rows))
        } else {
            Output::Idx(IdxOutput::create(&self.path, about)?)
        });
        Ok(())
    }

    fn accept(&mut self, part: usize, labels: &[u16], features: &[u8]) -> Result<()> {
        match &mut self.output {
            Some(Output::Idx(idx)) => {
                let written = idx.write(part, labels, features);
                // People know the folder's own name, not the one that it has until it is whole.
                written.map_err(|e| idx.staged.renamed(e))
            }
            Some(Output::Csv(csv)) => csv.write(labels, features),
            None => Ok(()),
        }
    }

    fn finish(&mut self, about: &About) -> Result<()> {
        match self.output.take() {
            Some(Output::Idx(idx)) => idx.finish(about),
            Some(Output::Csv(csv)) => csv.finish(),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
enum Output {
    Idx(IdxOutput),
    Csv(Box<Rows>),
}

#[derive(Debug)]
struct IdxOutput {
    staged: StagedDir,
    /// Images and labels of each part.
    parts: Vec<[OutputFile; 2]>,
    labels: Vec<u8>,
    flusher: Flusher,
}

#[derive(Debug)]
struct OutputFile {
    file: File,
    path: PathBuf,
    /// Bytes written since the disk was last asked to take them.
    pending: usize,
}

impl IdxOutput {
    fn create(path: &Path, about: &About) -> Result<IdxOutput> {
        let staged = StagedDir::create(path)?;
        let parts = about
            .parts
            .iter()
            .map(|part| {
                let mut sizes = vec![part.records];
                sizes.extend(about.shape.iter().map(|axis| *axis as u64));
                let [images, labels] = idx::file_names(&part.name, sizes.len());
                Ok([
                    OutputFile::create(staged.path().join(images), &sizes)?,
                    OutputFile::create(staged.path().join(labels), &sizes[..1])?,
                ])
            })
            .collect::<Result<_>>()
            .map_err(|e| staged.renamed(e))?;
        Ok(IdxOutput {
            staged,
            parts,
            labels: Vec::new(),
            flusher: Flusher::start(),
        })
    }

    fn write(&mut self, part: usize, labels: &[u16], features: &[u8]) -> Result<()> {
        self.labels.clear();
        // There are at most 256 classes here.
        self.labels.extend(labels.iter().map(|label| *label as u8));
        match self.parts.get_mut(part) {
            Some([images, label_file]) => {
                images.write(features)?;
                images.flush_early(&self.flusher)?;
                label_file.write(&self.labels)
            }
            None => Ok(()),
        }
    }

    fn finish(self, about: &About) -> Result<()> {
        let IdxOutput {
            staged,
            parts,
            flusher,
            ..
        } = self;
        flusher
            .finish()
            .map_err(Error::io("write", staged.path()))
            .map_err(|e| staged.renamed(e))?;
        for (files, part) in parts.into_iter().zip(&about.parts) {
            for file in files {
                file.finish(part.records).map_err(|e| staged.renamed(e))?;
            }
        }
        staged.commit()
    }
}

impl OutputFile {
    fn create(path: PathBuf, sizes: &[u64]) -> Result<OutputFile> {
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut output = OutputFile {
            file,
            path,
            pending: 0,
        };
        let header = idx::header(&output.path, sizes)?;
        output.write(&header)?;
        Ok(output)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending += bytes.len();
        self.file
            .write_all(bytes)
            .map_err(Error::io("write", &self.path))
    }

    fn flush_early(&mut self, flusher: &Flusher) -> Result<()> {
        if self.pending >= FLUSH_BYTES {
            let file = self
                .file
                .try_clone()
                .map_err(Error::io("write", &self.path))?;
            if flusher.take(file) {
                self.pending = 0;
            }
        }
        Ok(())
    }

    /// Corrects the number of records, which is smaller when some were set aside, and syncs.
    fn finish(mut self, records: u64) -> Result<()> {
        // It fitted when it was larger.
        let count = (records as u32).to_be_bytes();
        self.file
            .seek(SeekFrom::Start(idx::COUNT_OFFSET))
            .and_then(|_| self.file.write_all(&count))
            .and_then(|()| self.file.sync_all())
            .map_err(Error::io("write", &self.path))
    }
}

/// Has the disk take what is written while the next records are still being verified, so that the syncing at
/// the end is short.
#[derive(Debug)]
struct Flusher {
    files: SyncSender<File>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn start() -> Flusher {
        let (files, next) = sync_channel::<File>(1);
        Flusher {
            files,
            // A failure is reported once a file: whoever meets it keeps it.
            thread: thread::spawn(move || next.into_iter().try_for_each(|file| file.sync_data())),
        }
    }

    /// Whether it will see to the file; not when it is busy.
    fn take(&self, file: File) -> bool {
        self.files.try_send(file).is_ok()
    }

    fn finish(self) -> io::Result<()> {
        drop(self.files);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writing thread stopped")))
    }
}

fn out_of_memory(records: usize) -> Error {
    Error::input(
        format!("there is not enough memory for {records} records"),
        "use a machine with more",
    )
}

/// Bytes worth waking the disk for.
const FLUSH_BYTES: usize = 8 << 20;

/// Most bytes set aside on a claim alone.
const MAX_RESERVED: usize = 1 << 30;
