//! Whose a caller is, where all call at one door: by context id, or by the name in a certificate. A reload changes it.

use nestless_model::identity::VmName;
use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// VMs by what they are known by.
#[derive(Clone)]
pub(super) struct Names<K>(Arc<RwLock<BTreeMap<K, VmName>>>);

impl<K: Ord> Names<K> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<VmName>
    where
        K: Borrow<Q>,
    {
        // Whole between statements.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn insert(&self, key: K, vm: VmName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, vm);
    }

    pub(super) fn remove(&self, key: &K) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
