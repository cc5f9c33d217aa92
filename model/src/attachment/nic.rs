//! One NIC: its record, what is known of it in the world, and the step that comes next.

use super::{
    purpose::Guarding,
    record::{Goal, NicRecord},
    step::Step,
};
use std::fmt;

/// Where in its life a NIC is, for people. See the diagram in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the diagram explains them")]
pub enum Phase {
    Planned,
    TapReady,
    Plugged,
    Visible,
    InUse,
    Spare,
    Releasing,
    Unplugging,
    Quarantined,
    Gone,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One NIC.
#[derive(Clone, Debug)]
pub struct Nic {
    /// What is durable.
    pub record: NicRecord,
    /// Looked at since the daemon started, so that the flags below mean something.
    pub(super) observed: bool,
    /// Half of it is there (as after a crash): take it away before anything else.
    pub(super) broken: bool,
    pub(super) host_end: bool,
    pub(super) enslaved: bool,
    /// In no bridge, and up.
    pub(super) isolated: bool,
    pub(super) plugged: bool,
    pub(super) visible: bool,
    /// It waits, as the guest's last word had it.
    pub(super) parked: bool,
    /// Somebody has had it, and the guest cannot make it anew.
    pub(super) spent: bool,
    /// Its last attach ended before the guest confirmed it.
    pub(super) failed: bool,
    /// It was plugged, and is there no more.
    pub(super) lost: bool,
    /// Another's program was seen before its filter on the host.
    pub(super) overtaken: bool,
    /// `None`: not known.
    pub(super) guard: Option<Guarding>,
    /// That the guard is closed is believed, since closing it failed: the NIC goes, but what it held may still be used.
    pub(super) believed_closed: bool,
    pub(super) running: Option<Step>,
    /// When the last step of it began or ended, in the machine's own count: older observations say nothing.
    pub(super) touched: u64,
    /// Since when the guest may be expected to tell of it: since it was plugged, or given back.
    pub(super) expected_since_ms: u64,
    /// After a failure: nothing is tried before.
    pub(super) retry_at_ms: Option<u64>,
}

impl Nic {
    /// A NIC that exists in the ledger only.
    pub(super) fn planned(record: NicRecord) -> Self {
        Self { observed: true, ..Self::unobserved(record) }
    }

    /// A NIC from the ledger, before anyone has looked.
    pub(super) fn unobserved(record: NicRecord) -> Self {
        Self {
            record,
            observed: false,
            broken: false,
            host_end: false,
            enslaved: false,
            isolated: false,
            plugged: false,
            visible: false,
            parked: false,
            spent: false,
            failed: false,
            lost: false,
            overtaken: false,
            guard: None,
            believed_closed: false,
            running: None,
            touched: 0,
            expected_since_ms: 0,
            retry_at_ms: None,
        }
    }

    /// Where in its life it is.
    pub fn phase(&self) -> Phase {
        match &self.record.goal {
            Goal::Remove if self.record.quarantined => Phase::Quarantined,
            Goal::Remove if self.guard_is_closed() => Phase::Unplugging,
            Goal::Remove => Phase::Releasing,
            Goal::Spare if !self.record.purpose.is_empty() || self.record.returning => Phase::Releasing,
            _ if self.lost => Phase::Gone,
            _ if !self.host_end || !self.is_placed() => Phase::Planned,
            _ if !self.plugged => Phase::TapReady,
            Goal::Serve(attachment) if attachment.confirmed => Phase::InUse,
            Goal::Spare if self.visible => Phase::Spare,
            _ if self.visible => Phase::Visible,
            _ => Phase::Plugged,
        }
    }

    /// The step from what is to what shall be; `None` when there is nothing to do, or nothing can be done now.
    pub(super) fn next_step(&self) -> Option<Step> {
        if self.running.is_some() || !self.observed || self.retry_at_ms.is_some() {
            return None;
        }
        if self.record.goal == Goal::Remove {
            // Silence first: unplugging takes the guest's help, and may take for ever.
            let silent = self.guard_is_closed() || !self.host_end;
            return Some(if silent { Step::Unplug } else { Step::Guard(Guarding::Closed) });
        }
        if self.lost {
            return None;
        }
        if self.broken {
            return Some(Step::Unplug);
        }
        if !self.host_end {
            return Some(Step::CreateHostEnd);
        }
        let wanted = self.record.guarding();
        if !self.record.belongs_in_bridge() && !self.isolated {
            // Before the guard goes: a bridge floods, and what it floods would reach a localhost.
            return Some(Step::Isolate);
        }
        if self.guard.as_ref() != Some(&wanted) {
            return Some(Step::Guard(wanted));
        }
        if !self.is_placed() {
            return Some(Step::Enslave);
        }
        (!self.plugged).then_some(Step::Plug)
    }

    /// All that the host has to do for its goal is done.
    pub(super) fn is_settled(&self) -> bool {
        self.plugged && self.is_placed() && !self.lost && self.guard == Some(self.record.guarding())
    }

    /// It is visible in the guest, or was when a pod got it, or had it.
    pub(super) fn was_visible(&self) -> bool {
        self.visible || self.record.returning || self.record.attachment().is_some_and(|a| a.confirmed)
    }

    pub(super) fn guard_is_closed(&self) -> bool {
        self.guard == Some(Guarding::Closed)
    }

    pub(super) fn forget_world(&mut self) {
        *self = Self { observed: true, touched: self.touched, ..Self::unobserved(self.record.clone()) };
    }

    /// The host's end is where it belongs: in its network's bridge, or an endpoint's in none.
    pub(super) fn is_placed(&self) -> bool {
        if self.record.belongs_in_bridge() { self.enslaved } else { self.isolated }
    }
}
