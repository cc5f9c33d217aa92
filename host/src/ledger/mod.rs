//! What survives a crash: every NIC's record, addresses that are reserved or rest, each VM's boot, and the next NIC id. One redb file,
//! one writer, every change durable before the function returns.

mod error;
mod tables;

pub use error::LedgerError;

use nestless_model::{
    attachment::{Change, NicRecord, Remembered, Reservation},
    identity::{BootId, NetworkName, NicId, VmName},
};
use nestless_support::crash_point;
use redb::{Database, ReadableDatabase as _, ReadableTable as _};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};
use tables::{BOOTS, COOLING, META, NICS, RESERVED, address_key, read_address_key};

/// Enough for thousands of NICs; redb's own default is a gigabyte.
const CACHE_BYTES: usize = 1 << 20;
const NEXT_NIC: &str = "next-nic";
const LAYOUT: &str = "layout";
/// Raised when records of an older daemon can no longer be read.
const LAYOUT_VERSION: u64 = 1;

/// The open ledger.
pub struct Ledger {
    path: PathBuf,
    database: Database,
}

/// All that was in the ledger when the daemon started.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Every NIC.
    pub nics: Vec<NicRecord>,
    /// Addresses that VMs keep.
    pub reservations: Vec<Reservation>,
    /// Addresses that rest, and until which second since 1970.
    pub cooling: Vec<(NetworkName, IpAddr, u64)>,
    /// Each VM's last boot.
    pub boots: Vec<(VmName, BootId)>,
    /// The lowest id that was never used.
    pub next_nic: u32,
}

impl Contents {
    /// What there is of each VM.
    pub fn by_vm(self) -> BTreeMap<VmName, Remembered> {
        let mut vms: BTreeMap<VmName, Remembered> = BTreeMap::new();
        for record in self.nics {
            vms.entry(record.vm.clone()).or_default().nics.push(record);
        }
        for reservation in self.reservations {
            vms.entry(reservation.vm.clone()).or_default().reservations.push(reservation);
        }
        for (vm, boot) in self.boots {
            vms.entry(vm).or_default().boot = Some(boot);
        }
        vms
    }
}

/// A set of changes to make durable together.
pub struct Batch<'a> {
    /// The VM they are of.
    pub vm: &'a VmName,
    /// As decided.
    pub changes: &'a [Change],
    /// When addresses released among them may be given again, in seconds since 1970, by network.
    pub cooling_until_s: &'a dyn Fn(&NetworkName) -> u64,
    /// The lowest id that is unused after them.
    pub next_nic: u32,
}

impl Ledger {
    /// Opens the ledger, and makes it if there is none.
    ///
    /// # Errors
    /// When another daemon has it open, when it cannot be read or written, or when a newer daemon wrote it.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| LedgerError::Folder { path: folder.to_owned(), source })?;
        }
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|source| LedgerError::Open { path: path.to_owned(), source: Box::new(source) })?;
        let ledger = Self { path: path.to_owned(), database };
        ledger.prepare()?;
        Ok(ledger)
    }

    fn prepare(&self) -> Result<(), LedgerError> {
        let found = self.write(|transaction| {
            transaction.open_table(NICS)?;
            transaction.open_table(RESERVED)?;
            transaction.open_table(COOLING)?;
            transaction.open_table(BOOTS)?;
            let mut meta = transaction.open_table(META)?;
            let found = meta.get(LAYOUT)?.map(|value| value.value());
            if found.is_none() {
                meta.insert(LAYOUT, LAYOUT_VERSION)?;
            }
            Ok(found)
        })?;
        match found {
            Some(found) if found != LAYOUT_VERSION => {
                Err(LedgerError::Layout { path: self.path.clone(), found, known: LAYOUT_VERSION })
            }
            _ => Ok(()),
        }
    }

    /// Everything in it.
    ///
    /// # Errors
    /// When it cannot be read, or a record is not one.
    pub fn read(&self) -> Result<Contents, LedgerError> {
        let failed =
            |source: redb::Error| LedgerError::Read { path: self.path.clone(), source: Box::new(source) };
        let transaction = self.database.begin_read().map_err(|e| failed(e.into()))?;
        let mut contents = Contents::default();
        let nics = transaction.open_table(NICS).map_err(|e| failed(e.into()))?;
        for row in nics.iter().map_err(|e| failed(e.into()))? {
            let (id, bytes) = row.map_err(|e| failed(e.into()))?;
            let record = serde_json::from_slice(bytes.value()).map_err(|source| LedgerError::Record {
                path: self.path.clone(),
                nic: NicId(id.value()),
                source,
            })?;
            contents.nics.push(record);
        }
        let reserved = transaction.open_table(RESERVED).map_err(|e| failed(e.into()))?;
        for row in reserved.iter().map_err(|e| failed(e.into()))? {
            let (key, bytes) = row.map_err(|e| failed(e.into()))?;
            let reservation = serde_json::from_slice(bytes.value()).map_err(|source| {
                LedgerError::Reservation { path: self.path.clone(), key: key.value().to_owned(), source }
            })?;
            contents.reservations.push(reservation);
        }
        let cooling = transaction.open_table(COOLING).map_err(|e| failed(e.into()))?;
        for row in cooling.iter().map_err(|e| failed(e.into()))? {
            let (key, until) = row.map_err(|e| failed(e.into()))?;
            contents
                .cooling
                .extend(read_address_key(key.value()).map(|(network, ip)| (network, ip, until.value())));
        }
        let boots = transaction.open_table(BOOTS).map_err(|e| failed(e.into()))?;
        for row in boots.iter().map_err(|e| failed(e.into()))? {
            let (vm, boot) = row.map_err(|e| failed(e.into()))?;
            contents.boots.extend(VmName::new(vm.value()).ok().zip(BootId::new(boot.value()).ok()));
        }
        let meta = transaction.open_table(META).map_err(|e| failed(e.into()))?;
        let next = meta.get(NEXT_NIC).map_err(|e| failed(e.into()))?.map_or(1, |value| value.value());
        contents.next_nic = u32::try_from(next).unwrap_or(u32::MAX);
        Ok(contents)
    }

    /// Makes changes durable, all or none.
    ///
    /// # Errors
    /// When they could not be made durable: then none of them is.
    pub fn commit(&self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        crash_point::reached("ledger.commit.before");
        self.write(|transaction| {
            let mut nics = transaction.open_table(NICS)?;
            let mut cooling = transaction.open_table(COOLING)?;
            for change in batch.changes {
                match change {
                    Change::Save(record) => {
                        let bytes = serde_json::to_vec(record).expect("a record has string keys only");
                        nics.insert(record.nic.0, bytes.as_slice())?;
                    }
                    Change::Erase(nic) => drop(nics.remove(nic.0)?),
                    Change::Release { network, purpose } => {
                        let until = (batch.cooling_until_s)(network);
                        for ip in purpose.ips() {
                            cooling.insert(address_key(network, ip).as_str(), until)?;
                        }
                    }
                    Change::Reserve(reservation) => {
                        let key = address_key(&reservation.network, reservation.address.addr());
                        let bytes =
                            serde_json::to_vec(reservation).expect("a reservation has string keys only");
                        transaction.open_table(RESERVED)?.insert(key.as_str(), bytes.as_slice())?;
                    }
                    Change::Unreserve { network, address } => {
                        transaction.open_table(RESERVED)?.remove(address_key(network, *address).as_str())?;
                    }
                    Change::Boot(boot) => {
                        transaction.open_table(BOOTS)?.insert(batch.vm.as_str(), boot.as_str())?;
                    }
                }
            }
            let mut meta = transaction.open_table(META)?;
            let known = meta.get(NEXT_NIC)?.map_or(0, |value| value.value());
            if known < u64::from(batch.next_nic) {
                meta.insert(NEXT_NIC, u64::from(batch.next_nic))?;
            }
            Ok(())
        })?;
        crash_point::reached("ledger.commit.after");
        Ok(())
    }

    /// Forgets these addresses, which have rested, and every other whose time is over: no network may be left to ask.
    ///
    /// # Errors
    /// When that could not be made durable.
    pub fn rested(&self, addresses: &[(NetworkName, IpAddr)], now_s: u64) -> Result<(), LedgerError> {
        self.write(|transaction| {
            let mut cooling = transaction.open_table(COOLING)?;
            for (network, ip) in addresses {
                cooling.remove(address_key(network, *ip).as_str())?;
            }
            cooling.retain(|_, until_s| until_s > now_s)?;
            Ok(())
        })
    }

    /// Forgets what is known of a VM that the configuration has no more.
    ///
    /// # Errors
    /// When that could not be made durable.
    pub fn forget_vm(&self, vm: &VmName) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.open_table(BOOTS)?.remove(vm.as_str()).map(drop).map_err(Into::into)
        })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, LedgerError> {
        let written = || {
            let transaction = self.database.begin_write()?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        written().map_err(|source: redb::Error| LedgerError::Write {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests;
