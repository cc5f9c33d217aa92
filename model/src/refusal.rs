//! Why a request is not served: every reason once, and all that follows from it.
//!
//! A new reason is a row here. One that the host gives is a value of `Refusal.Reason` in `guest.proto` too, with the row's
//! number and name. All else maps from the row: nestlessd the gRPC code, the agent what it hears from the host, a front
//! what it tells (CNI: code and advice), and `docs/errors.md`.

/// What kind of no it is, for whoever has fewer words for it than there are reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The request is wrong, and will be so when it is repeated.
    Invalid,
    /// What is asked for is there, or another's.
    Exists,
    /// Nothing is left of what is asked for.
    Exhausted,
    /// It took too long.
    Deadline,
    /// Who has to serve it is not there just now.
    Unavailable,
    /// The caller may not have it.
    Denied,
    /// What the request is about is not known.
    NotFound,
    /// It failed.
    Internal,
}

/// How the host tells a reason to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Its number in `Refusal.Reason` of `guest.proto`.
    pub number: i32,
    /// Its name there.
    pub name: &'static str,
}

struct Row {
    reason: Reason,
    wire: Option<Wire>,
    kind: Kind,
    cni_code: u32,
    meaning: &'static str,
    advice: &'static str,
}

const fn host(number: i32, name: &'static str) -> Option<Wire> {
    Some(Wire { number, name })
}

/// Found out in the VM: the host never says it.
const GUEST: Option<Wire> = None;

const TRY_AGAIN: &str = "repeat the call; if it goes on, look at `systemctl status nestless-agent` in the VM and `nestless status` on the host";
const HOST_FAILED: &str = "the message is the host's; nestlessd's log on the host has the same trace id";

macro_rules! reasons {
    ($($reason:ident: $wire:expr, $kind:ident, $cni_code:literal, $meaning:literal, $advice:expr;)*) => {
        /// A reason. The order is that of the CNI codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $reason,)*
        }

        /// In the order of the reasons.
        const ROWS: &[Row] = &[$(Row {
            reason: Reason::$reason,
            wire: $wire,
            kind: Kind::$kind,
            cni_code: $cni_code,
            meaning: $meaning,
            advice: $advice,
        },)*];
    };
}

// CNI codes 1 to 99 are the specification's; those from 100 are ours.
reasons! {
    IncompatibleVersion: GUEST, Invalid, 1,
        "`cniVersion` is not spoken here, or does not have the command",
        "set cniVersion in the network configuration to a version that the VERSION command lists";
    UnsupportedField: GUEST, Invalid, 2,
        "a key or value of the configuration cannot be honoured",
        "remove the key from the network configuration, or set it to a value that the message names";
    NotFound: host(13, "NOT_FOUND"), NotFound, 3,
        "the container, or its attachment, is not known",
        "the sandbox is gone or was never attached: remove the pod and let the runtime make it anew";
    InvalidEnvironment: GUEST, Invalid, 4,
        "a `CNI_*` variable is missing or wrong",
        "the runtime calls this plugin by CNI SPEC 1.1.0, section 2: set the variable as the message says";
    Io: GUEST, Internal, 5,
        "reading or writing failed",
        "see the operating system's reason in the message; `systemctl status nestless-agent` shows whether the agent runs";
    Decode: GUEST, Invalid, 6,
        "the network configuration is not JSON",
        "check the network configuration in /etc/cni/net.d with a JSON parser";
    Invalid: host(1, "INVALID"), Invalid, 7,
        "a value of the request, or of the network configuration, is wrong",
        "correct the key that the message names in /etc/cni/net.d";
    Away: GUEST, Unavailable, 11,
        "the agent does not answer, or the host does not answer the agent",
        TRY_AGAIN;
    VmNotReady: host(9, "VM_NOT_READY"), Unavailable, 11,
        "the VM is down, booting or being reset",
        TRY_AGAIN;
    RateLimited: host(12, "RATE_LIMITED"), Exhausted, 11,
        "the VM asks for more at once than it may, or for an address that rests",
        TRY_AGAIN;
    NotAvailable: GUEST, Unavailable, 50,
        "STATUS: no ADD could be served now",
        "`nestless status` on the host shows capacity and the VM's channel; no pod can start here until it is mended";
    InterfaceExists: GUEST, Exists, 100,
        "the sandbox has a link of that name",
        "choose another interface name, or remove the link from the sandbox; nothing was changed";
    AlreadyAttached: host(3, "ALREADY_ATTACHED"), Exists, 101,
        "the interface of that container has a NIC already",
        "the interface that is there was left as it is: call DEL before another ADD";
    UnknownNetwork: host(2, "UNKNOWN_NETWORK"), Invalid, 102,
        "the host has no such network",
        "set \"network\" to one of the networks in nestlessd's configuration, or leave it out for the VM's default";
    NoFreeAddress: host(4, "NO_FREE_ADDRESS"), Exhausted, 103,
        "no address is free",
        "enlarge the network's subnet in nestlessd's configuration, or remove pods; released addresses rest for the cool-down first";
    AddressInUse: host(5, "ADDRESS_IN_USE"), Exists, 104,
        "the address asked for is taken",
        "ask for another address, or none; `nestless status` on the host shows who has it";
    MacInUse: host(6, "MAC_IN_USE"), Exists, 105,
        "the MAC address asked for is taken",
        "ask for another MAC address, or none; `nestless status` on the host shows who has it";
    NoCapacity: host(7, "NO_CAPACITY"), Exhausted, 106,
        "the VM has no slot for another NIC, or as many NICs as it may have",
        "remove pods, raise nic_limit in nestlessd's configuration, or give the VM more hot-plug ports: `nestless topology` prints what a number of NICs needs";
    NicTimeout: host(8, "NIC_TIMEOUT"), Deadline, 107,
        "the NIC was plugged and did not become visible in the VM, or was not given back, in time",
        "the NIC was taken back; look for virtio_net or PCI errors in the VM's `dmesg` (interrupt vectors may have run out)";
    Hypervisor: host(10, "HYPERVISOR"), Internal, 108,
        "the hypervisor refused",
        HOST_FAILED;
    Fabric: host(11, "FABRIC"), Internal, 108,
        "bridge, TAP or guard could not be set up",
        HOST_FAILED;
    Internal: host(14, "INTERNAL"), Internal, 108,
        "the host failed, or answered what cannot be understood",
        HOST_FAILED;
    SandboxSetup: GUEST, Internal, 109,
        "the NIC could not be set up in the sandbox",
        "the NIC was taken back and the sandbox is as it was; the message names the step that failed";
    PortMapping: GUEST, Internal, 110,
        "a port could not be mapped",
        "see to nftables (`nft`) in the VM, or remove hostPort from the pod; the NIC was taken back";
    CheckFailed: GUEST, Internal, 111,
        "CHECK: the world is not as ADD left it",
        "the message lists what differs; recreate the pod, or let the host reconcile";
    GcIncomplete: GUEST, Internal, 112,
        "GC: some attachments are still there",
        "the message lists what is left; the next GC tries again";
    TeardownIncomplete: GUEST, Internal, 113,
        "DEL: parts of the attachment could not be taken away",
        "the message lists what is left; DEL may be repeated";
    GroupFull: host(15, "GROUP_FULL"), Exhausted, 114,
        "the loopback group has as many fractions as it may have",
        "make the group larger if its `size` is below 16, or put more of the pod's containers into one fraction; `nestless loopback show` on the host lists the group";
    FractionTaken: host(16, "FRACTION_TAKEN"), Exists, 115,
        "another fraction of the loopback group has that name",
        "give the fraction another name, or let the one that has it leave; `nestless loopback show` on the host says where it is";
    OtherTenant: host(17, "OTHER_TENANT"), Denied, 116,
        "the loopback group is another tenant's; only an earlier `nestlessd` says it, for which all tenants' groups had names in common",
        "choose another group name, or give both VMs one `tenant` in nestlessd's configuration if their pods may share a localhost";
    OtherSize: host(18, "OTHER_SIZE"), Invalid, 117,
        "the loopback group is made for another number of fractions",
        "give all fractions of the group the same `size`, or none; `nestless loopback show` on the host says what it is made for";
    PortTaken: GUEST, Exists, 118,
        "a port of the VM leads to another pod",
        "give one of the pods another hostPort, or remove the pod that the message names";
}

impl Reason {
    /// Every one of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.reason)
    }

    /// What the host means by that number; `None` for one of a later version, or none.
    pub fn from_wire(number: i32) -> Option<Self> {
        Self::all().find(|reason| reason.wire().is_some_and(|wire| wire.number == number))
    }

    /// How the host tells it; `None` for what is found out in the VM.
    pub fn wire(self) -> Option<Wire> {
        self.row().wire
    }

    /// What kind of no it is.
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// The `code` of a CNI error.
    pub fn cni_code(self) -> u32 {
        self.row().cni_code
    }

    /// What is the matter.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        self.row().advice
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_row() {
        assert!(Reason::all().all(|reason| reason.row().reason == reason));
        assert!(Reason::all().is_sorted_by_key(Reason::cni_code));
    }

    #[test]
    fn numbers_on_the_wire_read_back() {
        let told: Vec<_> = Reason::all().filter_map(|reason| Some((reason, reason.wire()?))).collect();
        assert!(told.iter().all(|(reason, wire)| Reason::from_wire(wire.number) == Some(*reason)));
        let names: BTreeSet<_> = told.iter().map(|(_, wire)| wire.name).collect();
        assert_eq!(names.len(), told.len());
        assert_eq!(Reason::from_wire(0), None);
    }

    /// What to do is told by the code alone, to whom no more of the reason comes.
    #[test]
    fn reasons_of_one_code_have_one_advice() {
        let advice = |code| Reason::all().filter(move |other| other.cni_code() == code).map(Reason::advice);
        for reason in Reason::all() {
            assert!(advice(reason.cni_code()).all(|other| other == reason.advice()), "{reason:?}");
        }
    }
}
