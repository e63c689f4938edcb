//! The back-up of a run: one JSON object per line and event, beside it a manifest with the SHA-256 of it
//! all. Both are on disk, and were read back, before the run appends anything.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use uuid::Uuid;

use super::error::MigrationError;
use crate::chain::Hash;
use crate::event::{Metadata, Position, RecordedEvent, StreamKey};

const FORMAT: u32 = 1;

/// Manifest of a back-up. The file of events lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackUp {
    /// Version of this format.
    pub format: u32,
    /// Store that it was made of.
    pub store: Uuid,
    /// Name of the migration.
    pub migration: String,
    /// Which run of it.
    pub run: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Where the manifest is.
    pub manifest: PathBuf,
    /// Name of the file of events.
    pub file: String,
    /// Streams in it, one behind the other.
    pub streams: u64,
    /// Events in it.
    pub events: u64,
    /// Size of the file of events.
    pub bytes: u64,
    /// SHA-256 of the file of events.
    pub sha256: Hash,
}

/// An event as it is backed up, with all that the store knew of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) id: Uuid,
    pub(super) position: Position,
    pub(super) stream: StreamKey,
    pub(super) stream_version: u64,
    pub(super) event_type: String,
    pub(super) schema_version: u32,
    pub(super) data: Value,
    pub(super) metadata: Metadata,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
    tenant_sequence: u64,
    hash: Hash,
}

impl From<RecordedEvent> for Line {
    fn from(event: RecordedEvent) -> Self {
        Self {
            id: event.id,
            position: event.position,
            stream: event.stream,
            stream_version: event.stream_version,
            event_type: event.event_type,
            schema_version: event.schema_version,
            data: event.data,
            metadata: event.metadata,
            recorded_at: event.recorded_at,
            tenant_sequence: event.tenant_sequence,
            hash: event.hash,
        }
    }
}

/// Checks that a back-up is whole: sizes, hash, and that every line can be read.
///
/// # Errors
/// [`MigrationError::BackUp`], naming the file that is missing or damaged.
pub async fn verify(manifest: &Path) -> Result<BackUp, MigrationError> {
    let text = tokio::fs::read(manifest).await.map_err(at(manifest))?;
    let back_up: BackUp = serde_json::from_slice(&text).map_err(at(manifest))?;
    if back_up.format != FORMAT {
        let message = format!("has format {}; use a release that knows it", back_up.format);
        return Err(at(manifest)(message));
    }
    let mut lines = Lines::open(&back_up, manifest).await?;
    while lines.next().await?.is_some() {}
    lines.check(&back_up)?;
    Ok(back_up)
}

pub(super) fn at<E: ToString>(path: &Path) -> impl Fn(E) -> MigrationError + use<E> {
    let path = path.display().to_string();
    move |error| MigrationError::BackUp {
        path: path.clone(),
        message: error.to_string(),
    }
}

/// Reading the file of events, and what was read so far.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    digest: Sha256,
    bytes: u64,
    events: u64,
    streams: u64,
    stream: Option<StreamKey>,
}

impl Lines {
    pub(super) async fn open(back_up: &BackUp, manifest: &Path) -> Result<Self, MigrationError> {
        let path = manifest.with_file_name(&back_up.file);
        let file = File::open(&path).await.map_err(at(&path))?;
        Ok(Self {
            path,
            reader: BufReader::new(file),
            digest: Sha256::new(),
            bytes: 0,
            events: 0,
            streams: 0,
            stream: None,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Line>, MigrationError> {
        let mut text = Vec::new();
        let read = self.reader.read_until(b'\n', &mut text).await;
        if read.map_err(at(&self.path))? == 0 {
            return Ok(None);
        }
        let line: Line = serde_json::from_slice(&text).map_err(|error| {
            let line = self.events + 1;
            at(&self.path)(format!("line {line}: {error}; use another back-up"))
        })?;
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        self.events += 1;
        if self.stream.as_ref() != Some(&line.stream) {
            self.streams += 1;
            self.stream = Some(line.stream.clone());
        }
        Ok(Some(line))
    }

    /// Compares what was read with the manifest.
    pub(super) fn check(self, back_up: &BackUp) -> Result<(), MigrationError> {
        let sha256 = Hash(self.digest.finalize().into());
        let read = (self.streams, self.events, self.bytes, sha256);
        let BackUp {
            streams,
            events,
            bytes,
            sha256,
            ..
        } = back_up;
        if read == (*streams, *events, *bytes, *sha256) {
            return Ok(());
        }
        let message = "is not what its manifest says; use another back-up";
        Err(at(&self.path)(message))
    }
}

/// Writing a back-up.
pub(super) struct Writer {
    back_up: BackUp,
    path: PathBuf,
    writer: BufWriter<File>,
    digest: Sha256,
}

impl Writer {
    /// Begins the files of a run in a folder, which is made if it is missing.
    pub(super) async fn begin(
        folder: &Path,
        store: Uuid,
        migration: &str,
        run: u64,
        created_at: OffsetDateTime,
    ) -> Result<Self, MigrationError> {
        let folder = std::path::absolute(folder).map_err(at(folder))?;
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(at(&folder))?;
        let seconds = created_at.unix_timestamp();
        let stem = format!("{migration}-{run:04}-{seconds}");
        let (stem, lines) = create_lines(&folder, &stem).await?;
        let file = format!("{stem}.jsonl");
        let path = folder.join(&file);
        let writer = BufWriter::new(lines);
        let back_up = BackUp {
            format: FORMAT,
            store,
            migration: migration.to_owned(),
            run,
            created_at,
            manifest: folder.join(format!("{stem}.manifest.json")),
            file,
            streams: 0,
            events: 0,
            bytes: 0,
            sha256: Hash::NONE,
        };
        let digest = Sha256::new();
        Ok(Self {
            back_up,
            path,
            writer,
            digest,
        })
    }

    /// Begins a stream; its events follow in order.
    pub(super) fn stream(&mut self) {
        self.back_up.streams += 1;
    }

    pub(super) async fn event(&mut self, event: RecordedEvent) -> Result<(), MigrationError> {
        let mut line = serde_json::to_vec(&Line::from(event)).map_err(at(&self.path))?;
        line.push(b'\n');
        self.digest.update(&line);
        self.back_up.bytes += line.len() as u64;
        self.back_up.events += 1;
        self.writer.write_all(&line).await.map_err(at(&self.path))
    }

    /// Brings all of it to disk, reads it back, and gives the manifest.
    pub(super) async fn finish(mut self) -> Result<BackUp, MigrationError> {
        let path = &self.path;
        self.writer.flush().await.map_err(at(path))?;
        self.writer.get_ref().sync_all().await.map_err(at(path))?;
        self.back_up.sha256 = Hash(self.digest.finalize().into());

        let path = &self.back_up.manifest;
        let text = serde_json::to_vec_pretty(&self.back_up).map_err(at(path))?;
        let mut manifest = create(path).await?;
        manifest.write_all(&text).await.map_err(at(path))?;
        manifest.flush().await.map_err(at(path))?;
        manifest.sync_all().await.map_err(at(path))?;
        if let Some(folder) = path.parent() {
            // The names of the files have to last, too.
            let entries = File::open(folder).await.map_err(at(folder))?;
            entries.sync_all().await.map_err(at(folder))?;
        }
        verify(&self.back_up.manifest).await
    }
}

/// The file of the lines, by a name of its own: runs of two stores may have the same number and begin in
/// the same second.
async fn create_lines(folder: &Path, stem: &str) -> Result<(String, File), MigrationError> {
    let (mut name, mut number) = (stem.to_owned(), 1);
    loop {
        let path = folder.join(format!("{name}.jsonl"));
        match create_new(&path).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                number += 1;
                name = format!("{stem}-{number}");
            }
            created => return Ok((name, created.map_err(at(&path))?)),
        }
    }
}

async fn create(path: &Path) -> Result<File, MigrationError> {
    create_new(path).await.map_err(at(path))
}

/// A new file, which nobody else may read: events may hold what is not for everybody.
async fn create_new(path: &Path) -> Result<File, std::io::Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}
