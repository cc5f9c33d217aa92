//! The VMs that are served. A reload changes them while requests are under way.

use nestless_host::vm::VmHandle;
use nestless_model::{attachment::Limits, identity::VmName};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

/// One VM.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) handle: VmHandle,
    /// What the operator fixed.
    pub(crate) limits: Limits,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Vms(RwLock<BTreeMap<VmName, Served>>);

impl Vms {
    pub(crate) fn get(&self, vm: &VmName) -> Option<Served> {
        // Whole between statements.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(vm).cloned()
    }

    /// As they are now, by name.
    pub(crate) fn all(&self) -> Vec<(VmName, Served)> {
        let vms = self.0.read().unwrap_or_else(PoisonError::into_inner);
        vms.iter().map(|(vm, served)| (vm.clone(), served.clone())).collect()
    }

    pub(crate) fn insert(&self, vm: VmName, served: Served) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(vm, served);
    }

    pub(crate) fn remove(&self, vm: &VmName) -> Option<Served> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(vm)
    }
}
