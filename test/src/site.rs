//! A lab of one test: called by the test's process, and gone without a trace at its end.

use crate::{census, operator};
use nestless_lab::{Lab, LabBuilder, Vmm};
use nestless_support::error_chain::in_full;
use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU32, Ordering},
};

/// A lab's description under a name of this process's own and of this call's, so that tests running side by side do not meet.
pub fn lab(what: &str, vmm: Vmm) -> LabBuilder {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    Lab::builder(format!("e{}-{what}{number}", std::process::id())).vmm(vmm).vms(1)
}

/// A lab that must leave nothing.
pub struct Site {
    lab: Lab,
    links_before: Vec<String>,
    descriptors: BTreeMap<String, usize>,
}

impl Site {
    /// Builds it, and waits until every VM's pool is full.
    pub async fn up(builder: LabBuilder) -> Self {
        let links_before = census::links_of_ours();
        let lab = builder.up().await.unwrap_or_else(|error| panic!("{}", in_full(&error)));
        let mut site = Self { lab, links_before, descriptors: BTreeMap::new() };
        if site.lab.daemon().is_some() {
            operator::settled(&site.lab).await;
            site.remember_descriptors();
        }
        site
    }

    /// What the daemon has open now is what it must have open at the end.
    pub fn remember_descriptors(&mut self) {
        self.descriptors = self.daemon_descriptors();
    }

    fn daemon_descriptors(&self) -> BTreeMap<String, usize> {
        self.lab.daemon().map(|daemon| census::descriptors(daemon.pid)).unwrap_or_default()
    }

    /// The daemon holds no more descriptors than when the test began; to be asked when no pod is left.
    pub async fn holds_no_more_descriptors(&self) {
        operator::settled(&self.lab).await;
        crate::eventually("the daemon's descriptors", || async {
            let now = self.daemon_descriptors();
            let more: Vec<_> = now
                .iter()
                .filter(|(kind, count)| **count > self.descriptors.get(*kind).copied().unwrap_or(0))
                .collect();
            if more.is_empty() { Ok(()) } else { Err(format!("{more:?} beyond {:?}", self.descriptors)) }
        })
        .await;
    }

    /// Removes it. Nothing that carries its name may be left on this machine, and no link of ours beside.
    pub async fn down(self) {
        let name = self.lab.name().clone();
        self.lab.down().await.unwrap_or_else(|error| panic!("{}", in_full(&error)));
        let remains = nestless_lab::remains(name.as_str()).expect("proc is mounted");
        assert!(remains.is_empty(), "{remains:?}");
        let links: Vec<_> =
            census::links_of_ours().into_iter().filter(|link| !self.links_before.contains(link)).collect();
        assert!(links.is_empty(), "{links:?}");
    }
}

impl Deref for Site {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for Site {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}
