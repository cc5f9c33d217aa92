//! One call at a time for a container; GC alone with all of them.

use nestless_model::identity::ContainerId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError, Weak},
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Fair: who comes first is served first.
#[derive(Default)]
pub(crate) struct Locks {
    gate: Arc<RwLock<()>>,
    containers: SyncMutex<HashMap<ContainerId, Weak<Mutex<()>>>>,
}

/// Lets one call work on one container.
pub(crate) struct ContainerGuard {
    _gate: OwnedRwLockReadGuard<()>,
    _container: OwnedMutexGuard<()>,
}

impl Locks {
    pub(crate) async fn container(&self, container: &ContainerId) -> ContainerGuard {
        let gate = Arc::clone(&self.gate).read_owned().await;
        let lock = self.lock_of(container);
        ContainerGuard { _gate: gate, _container: lock.lock_owned().await }
    }

    /// Waits until no call works on any container, and keeps others waiting.
    pub(crate) async fn all(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    fn lock_of(&self, container: &ContainerId) -> Arc<Mutex<()>> {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = containers.get(container).and_then(Weak::upgrade) {
            return lock;
        }
        // Those that nobody holds or waits for are dropped here, so that the map stays as small as the calls in flight.
        containers.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(Mutex::new(()));
        containers.insert(container.clone(), Arc::downgrade(&lock));
        lock
    }
}
