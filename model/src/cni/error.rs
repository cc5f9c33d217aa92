//! The one place where failures get their CNI code.

use super::Version;
use serde_json::{Value, json};
use std::fmt;

/// 1 to 99 are the specification's; those from 100 are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum ErrorCode {
    /// `cniVersion` is not spoken here.
    IncompatibleVersion = 1,
    /// A key or value of the configuration cannot be honoured.
    UnsupportedField = 2,
    /// The container is not known.
    UnknownContainer = 3,
    /// A `CNI_*` variable is missing or wrong.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// Not JSON.
    Decode = 6,
    /// JSON, but not a network configuration.
    InvalidConfig = 7,
    /// Nothing is wrong with the request; it may succeed later.
    TryAgainLater = 11,
    /// STATUS: no ADD could be served.
    NotAvailable = 50,
    /// STATUS: no ADD could be served, and running containers are limited too.
    LimitedConnectivity = 51,
    /// The sandbox has a link of that name.
    InterfaceExists = 100,
    /// (container, interface) has a NIC.
    AlreadyAttached = 101,
    /// The network is not known on the host.
    UnknownNetwork = 102,
    /// No address is left.
    NoFreeAddress = 103,
    /// The address asked for is taken.
    AddressInUse = 104,
    /// The MAC address asked for is taken.
    MacInUse = 105,
    /// The VM has no place for another NIC.
    NoCapacity = 106,
    /// The NIC was plugged, and the guest did not see it.
    NicTimeout = 107,
    /// The host could not make its half.
    HostFailure = 108,
    /// The guest could not set the NIC up in the sandbox.
    SandboxSetup = 109,
    /// The port mapping could not be made.
    PortMapping = 110,
    /// CHECK: the world is not as ADD left it.
    CheckFailed = 111,
    /// GC: some attachments are still there.
    GcIncomplete = 112,
    /// Parts of the attachment could not be taken away.
    TeardownIncomplete = 113,
    /// The loopback group has as many fractions as it may have.
    GroupFull = 114,
    /// Another fraction of the loopback group has that name.
    FractionTaken = 115,
    /// The loopback group is another tenant's.
    OtherTenant = 116,
    /// The loopback group is made for another number of fractions.
    OtherSize = 117,
}

impl ErrorCode {
    /// As it stands in the JSON.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// What to do about it: the `details` of the error.
    pub fn advice(self) -> &'static str {
        match self {
            Self::IncompatibleVersion => {
                "set cniVersion in the network configuration to a version that the VERSION command lists"
            }
            Self::UnsupportedField => {
                "remove the key from the network configuration, or set it to a value that the message names"
            }
            Self::UnknownContainer => {
                "the sandbox is gone or was never attached: remove the pod and let the runtime make it anew"
            }
            Self::InvalidEnvironment => {
                "the runtime calls this plugin by CNI SPEC 1.1.0, section 2: set the variable as the message says"
            }
            Self::Io => {
                "see the operating system's reason in the message; `systemctl status nestless-agent` shows whether the agent runs"
            }
            Self::Decode => "check the network configuration in /etc/cni/net.d with a JSON parser",
            Self::InvalidConfig => "correct the key that the message names in /etc/cni/net.d",
            Self::TryAgainLater => {
                "repeat the call; if it goes on, look at `systemctl status nestless-agent` in the VM and `nestless status` on the host"
            }
            Self::NotAvailable => {
                "`nestless status` on the host shows capacity and the VM's channel; no pod can start here until it is mended"
            }
            Self::LimitedConnectivity => "`nestless status` on the host shows which network is impaired",
            Self::InterfaceExists => {
                "choose another interface name, or remove the link from the sandbox; nothing was changed"
            }
            Self::AlreadyAttached => {
                "the interface that is there was left as it is: call DEL before another ADD"
            }
            Self::UnknownNetwork => {
                "set \"network\" to one of the networks in nestlessd's configuration, or leave it out for the VM's default"
            }
            Self::NoFreeAddress => {
                "enlarge the network's subnet in nestlessd's configuration, or remove pods; released addresses rest for the cool-down first"
            }
            Self::AddressInUse => {
                "ask for another address, or none; `nestless status` on the host shows who has it"
            }
            Self::MacInUse => {
                "ask for another MAC address, or none; `nestless status` on the host shows who has it"
            }
            Self::NoCapacity => {
                "remove pods, raise nic_limit in nestlessd's configuration, or give the VM more hot-plug ports: `nestless topology` prints what a number of NICs needs"
            }
            Self::NicTimeout => {
                "the NIC was taken back; look for virtio_net or PCI errors in the VM's `dmesg` (interrupt vectors may have run out)"
            }
            Self::HostFailure => {
                "the message is the host's; nestlessd's log on the host has the same trace id"
            }
            Self::SandboxSetup => {
                "the NIC was taken back and the sandbox is as it was; the message names the step that failed"
            }
            Self::PortMapping => {
                "see to nftables (`nft`) in the VM, or remove hostPort from the pod; the NIC was taken back"
            }
            Self::CheckFailed => {
                "the message lists what differs; recreate the pod, or let the host reconcile"
            }
            Self::GcIncomplete => "the message lists what is left; the next GC tries again",
            Self::GroupFull => {
                "make the group larger if its `size` is below 16, or put more of the pod's containers into one fraction; `nestless loopback show` on the host lists the group"
            }
            Self::FractionTaken => {
                "give the fraction another name, or let the one that has it leave; `nestless loopback show` on the host says where it is"
            }
            Self::OtherTenant => {
                "choose another group name, or give both VMs one `tenant` in nestlessd's configuration if their pods may share a localhost"
            }
            Self::OtherSize => {
                "give all fractions of the group the same `size`, or none; `nestless loopback show` on the host says what it is made for"
            }
            Self::TeardownIncomplete => "the message lists what is left; DEL may be repeated",
        }
    }
}

/// A CNI error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniError {
    /// Which kind.
    pub code: ErrorCode,
    /// What is wrong, and where.
    pub message: String,
    /// What somebody else said about it, for the details; empty: nobody said anything.
    pub evidence: String,
}

impl CniError {
    /// An error whose details are the code's advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), evidence: String::new() }
    }

    /// The same error, with another program's words.
    #[must_use]
    pub fn because(mut self, words: impl Into<String>) -> Self {
        self.evidence = words.into();
        self
    }

    fn details(&self) -> String {
        match self.evidence.as_str() {
            "" => self.code.advice().to_owned(),
            evidence => format!("{evidence}; {}", self.code.advice()),
        }
    }

    /// The object for standard output.
    pub fn to_json(&self, version: Version) -> Value {
        json!({
            "cniVersion": version.as_str(),
            "code": self.code.number(),
            "msg": self.message,
            "details": self.details(),
        })
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (CNI code {})", self.message, self.code.number())?;
        if self.evidence.is_empty() { Ok(()) } else { write!(f, ": {}", self.evidence) }
    }
}

impl std::error::Error for CniError {}
