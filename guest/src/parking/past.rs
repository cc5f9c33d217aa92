//! What is known of each NIC's past: whether anybody has had it since the kernel made it.
//!
//! ```text
//!  (appears) --> New --(taken)--> Out --(comes back)--> Returned --> Renewing --(unbound)--> Unbound --(appears)--> New
//!                                                          |             |              |
//!                                                          '-------------+-> Spent      '-> Lost
//! ```
//! It stands on disk too, and before what it speaks of is done: an agent that begins anew must know which of the NICs that
//! it finds waiting are as new, and takes one of which nothing is known for one that somebody has had.

use nestless_model::identity::Mac;
use nestless_support::bus_device::BusDevice;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Of one NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// Nobody has had it.
    New,
    /// Somebody has it, or is just being given it.
    Out,
    /// Somebody has had it.
    Returned,
    /// It is being made anew.
    Renewing(Unbinding),
    /// Nothing of what it was is left; its driver is to take it again.
    Unbound,
    /// Somebody has had it, and it cannot be made anew. Its link stands where it stood.
    Spent,
    /// Its driver does not take it again: it has no link.
    Lost,
}

/// Which device is to be unbound from which driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unbinding {
    pub(super) device: BusDevice,
    /// By name.
    pub(super) driver: String,
}

/// Of all NICs.
pub(super) struct Pasts {
    directory: PathBuf,
    known: Mutex<BTreeMap<Mac, Past>>,
    /// One has changed.
    pub(super) changed: Notify,
}

const NEW: &str = "new";
const USED: &str = "used";
const RENEWING: &str = "renewing";

impl Pasts {
    /// Reads what an earlier agent knew. What somebody had is `Returned`, which is as good for whatever is not parked.
    pub(super) fn load(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let nic = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let Some(nic) = nic {
                known.insert(nic, read(&fs::read_to_string(&path)?));
            }
        }
        Ok(Self { directory, known: Mutex::new(known), changed: Notify::new() })
    }

    pub(super) fn get(&self, nic: Mac) -> Option<Past> {
        self.lock().get(&nic).cloned()
    }

    pub(super) fn all(&self) -> Vec<(Mac, Past)> {
        self.lock().iter().map(|(nic, past)| (*nic, past.clone())).collect()
    }

    /// On disk first.
    pub(super) fn set(&self, nic: Mac, past: Past) -> io::Result<()> {
        let mut known = self.lock();
        if known.get(&nic) != Some(&past) {
            self.write(nic, &past)?;
            known.insert(nic, past);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// As [`Pasts::set`], but what cannot be written is only told: the next agent will take the NIC for one that somebody
    /// has had.
    pub(super) fn note(&self, nic: Mac, past: Past) {
        if let Err(error) = self.set(nic, past.clone()) {
            tracing::warn!(%nic, %error, directory = %self.directory.display(), "what is known of a NIC's past is not written down");
            self.lock().insert(nic, past);
            self.changed.notify_one();
        }
    }

    /// Takes a new NIC for somebody; false if it is not new.
    pub(super) fn take(&self, nic: Mac) -> io::Result<bool> {
        let mut known = self.lock();
        if known.get(&nic) != Some(&Past::New) {
            return Ok(false);
        }
        self.write(nic, &Past::Out)?;
        known.insert(nic, Past::Out);
        self.changed.notify_one();
        Ok(true)
    }

    pub(super) fn forget(&self, nic: Mac) {
        self.lock().remove(&nic);
        let _ = fs::remove_file(self.path(nic));
    }

    fn write(&self, nic: Mac, past: &Past) -> io::Result<()> {
        let text = match past {
            Past::New => NEW.to_owned(),
            Past::Out | Past::Returned | Past::Spent | Past::Lost => USED.to_owned(),
            Past::Renewing(Unbinding { device, driver }) => {
                format!("{RENEWING} {} {} {driver}", device.bus, device.name)
            }
            // What appears next is new, and an agent that dies now must take it for that.
            Past::Unbound => {
                return match fs::remove_file(self.path(nic)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
        };
        // No name of a NIC's, so that a half-written one is never read.
        let half = self.directory.join("half");
        fs::write(&half, text)?;
        fs::rename(&half, self.path(nic))
    }

    fn path(&self, nic: Mac) -> PathBuf {
        self.directory.join(nic.to_string())
    }

    /// No holder panics half-way through a change: each is one call of the map's.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Mac, Past>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside the parking namespace.
pub(super) fn directory(parking: &Path) -> PathBuf {
    parking.with_file_name("nics")
}

fn read(text: &str) -> Past {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [NEW] => Past::New,
        [RENEWING, bus, name, driver] => {
            let device = BusDevice { bus: bus.to_owned(), name: name.to_owned() };
            Past::Renewing(Unbinding { device, driver: driver.to_owned() })
        }
        _ => Past::Returned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_agent_knew_the_next_one_reads() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Pasts::load(directory.path().join("nics")).unwrap();
        let nic = |number| Mac::new([0x4e, 0x4c, 0, 1, 0, number]).unwrap();
        let unbinding = Unbinding {
            device: BusDevice { bus: "virtio".into(), name: "virtio3".into() },
            driver: "virtio_net".into(),
        };
        let pasts = load();
        for (number, past) in [
            (1, Past::New),
            (2, Past::Out),
            (3, Past::Returned),
            (4, Past::Renewing(unbinding.clone())),
            (5, Past::Renewing(unbinding.clone())),
            (6, Past::Spent),
        ] {
            pasts.set(nic(number), past).unwrap();
        }
        pasts.set(nic(5), Past::Unbound).unwrap();
        let left = load();
        let wanted = [
            (1, Past::New),
            (2, Past::Returned),
            (3, Past::Returned),
            (4, Past::Renewing(unbinding)),
            (6, Past::Returned),
        ];
        assert_eq!(left.all(), wanted.map(|(number, past)| (nic(number), past)));
        // What is half-written, or written by a later agent, is not taken for new.
        fs::write(directory.path().join("nics").join(nic(1).to_string()), "ne").unwrap();
        assert_eq!(load().get(nic(1)), Some(Past::Returned));
    }

    #[test]
    fn a_nic_is_taken_once_and_only_as_new() {
        let directory = tempfile::tempdir().unwrap();
        let pasts = Pasts::load(directory.path().to_owned()).unwrap();
        let nic: Mac = "4e:4c:00:01:00:05".parse().unwrap();
        assert!(!pasts.take(nic).unwrap());
        pasts.set(nic, Past::New).unwrap();
        assert!(pasts.take(nic).unwrap());
        assert!(!pasts.take(nic).unwrap());
        pasts.set(nic, Past::Returned).unwrap();
        assert!(!pasts.take(nic).unwrap());
    }
}
