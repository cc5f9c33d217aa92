//! All records, in memory and on disk.

use super::record::{Phase, Record};
use anyhow::Context as _;
use nestless_model::{
    identity::{AttachmentId, Mac},
    port_mapping::{PortClash, check_free},
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All records. Whoever changes one holds its container's lock.
pub(crate) struct Attachments {
    directory: PathBuf,
    records: Mutex<BTreeMap<AttachmentId, Record>>,
}

/// An attachment cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// A port that it asks for is another's.
    #[error(transparent)]
    Port(#[from] PortClash),
    /// The record cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl Attachments {
    /// Reads what an earlier agent left. A file that does not parse is told and set aside: the host knows the attachment
    /// and will list it.
    pub(crate) fn load(run_dir: &Path) -> anyhow::Result<Self> {
        let directory = run_dir.join("attachments");
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(record) => drop(records.insert(record.attachment.clone(), record)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an attachment's record is unreadable; the host's list will be used");
                    fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
                }
            }
        }
        Ok(Self { directory, records: Mutex::new(records) })
    }

    pub(crate) fn get(&self, attachment: &AttachmentId) -> Option<Record> {
        self.lock().get(attachment).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Record> {
        self.lock().values().cloned().collect()
    }

    /// The NICs that somebody has, or had.
    pub(crate) fn handed_out(&self) -> Vec<Mac> {
        self.lock().values().filter_map(|record| record.nic).collect()
    }

    /// The NICs that somebody outside the parking namespace and outside any sandbox of ours has.
    pub(crate) fn lent(&self) -> Vec<Mac> {
        let lent = |record: &Record| record.lent.is_some() && record.phase == Phase::InUse;
        self.lock().values().filter(|record| lent(record)).filter_map(|record| record.nic).collect()
    }

    /// Keeps the record of an attachment that begins, unless another one has a port that it asks for.
    pub(crate) fn begin(&self, record: Record) -> Result<(), BeginError> {
        // Held while the file is written: of two that ask for one port at once, one is refused.
        let mut records = self.lock();
        let others = records.values().filter(|other| other.attachment != record.attachment);
        check_free(&record.ports, others.map(|other| (&other.attachment, &other.ports[..])))?;
        self.write(&record)?;
        records.insert(record.attachment.clone(), record);
        Ok(())
    }

    /// Keeps the record, on disk first.
    pub(crate) fn put(&self, record: Record) -> io::Result<()> {
        self.write(&record)?;
        self.lock().insert(record.attachment.clone(), record);
        Ok(())
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.attachment);
        let half = path.with_extension("half");
        fs::write(&half, serde_json::to_vec_pretty(record)?)?;
        fs::rename(&half, &path)
    }

    pub(crate) fn remove(&self, attachment: &AttachmentId) {
        self.lock().remove(attachment);
        let path = self.path(attachment);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "an attachment's record stays behind");
            }
            _ => {}
        }
    }

    fn path(&self, attachment: &AttachmentId) -> PathBuf {
        self.directory.join(format!("{:016x}.json", attachment.digest()))
    }

    /// No holder panics half-way through a change: each is one call of the map's.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttachmentId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Record> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
