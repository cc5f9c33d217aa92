//! A host and a guest in a few maps, and the daemon's executor in a queue.

use crate::{
    address::AddressRequest,
    attachment::*,
    identity::{AttachmentId, BootId, Mac, Mtu, NetworkName, NicId, RequestId, VmName},
    loopback::{GroupId, GroupSize, Membership, Place},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub(super) const HOST: u16 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) enslaved: bool,
    pub(super) isolated: bool,
    pub(super) guard: Option<Guarding>,
}

pub(super) struct Simulation {
    pub(super) vm: VmName,
    pub(super) machine: VmNics,
    pub(super) limits: Limits,
    pub(super) ledger: BTreeMap<NicId, NicRecord>,
    pub(super) kept: BTreeMap<IpAddr, Reservation>,
    pub(super) boot: Option<BootId>,
    pub(super) links: BTreeMap<NicId, Link>,
    pub(super) devices: BTreeSet<NicId>,
    /// Plugged in part only.
    pub(super) halves: BTreeSet<NicId>,
    /// Whatever the host thinks of them, the guest has them in sandboxes.
    pub(super) withheld: BTreeSet<NicId>,
    /// The guest has had them in sandboxes, and cannot make them anew.
    pub(super) spent: BTreeSet<NicId>,
    pub(super) queue: Vec<StepOrder>,
    pub(super) answers: Vec<(Ticket, Answer)>,
    pub(super) released: Vec<Purpose>,
    pub(super) unreserved: Vec<IpAddr>,
    pub(super) now_ms: u64,
    pub(super) slots: usize,
    next_nic: u32,
    next_ticket: u64,
}

pub(super) fn limits(nic_limit: u32, warm_pool: u32) -> Limits {
    Limits {
        nic_limit,
        warm_pool,
        warm_pool_max: warm_pool * 2,
        default_network: network(),
        mtu: Mtu::default(),
    }
}

pub(super) fn interface(n: u32) -> AttachmentId {
    AttachmentId { container: format!("c{n}").parse().unwrap(), interface: "eth0".parse().unwrap() }
}

pub(super) fn network() -> NetworkName {
    NetworkName::new("pods").unwrap()
}

pub(super) fn request(n: u32) -> RequestId {
    format!("r{n}").parse().unwrap()
}

/// Every third one is a fraction's endpoint.
pub(super) fn purpose(n: u32) -> Purpose {
    if n % 3 != 2 {
        let address = format!("10.0.{}.{}/16", n / 256, n % 256);
        return Purpose::Pod { addresses: vec![address.parse().unwrap()], mac: None };
    }
    Purpose::Endpoint(Membership {
        group: "shop".parse().unwrap(),
        id: GroupId::new(1).unwrap(),
        fraction: format!("f{n}").parse().unwrap(),
        place: Place::new((n % 16) as u8).unwrap(),
        size: GroupSize::MAX,
        owner: None,
    })
}

impl Link {
    fn seen(&self) -> HostEndState {
        let reflected = matches!(self.guard, Some(Guarding::Reflected(_)));
        HostEndState {
            enslaved: self.enslaved,
            isolated: self.isolated,
            guarded: self.guard.is_some() && !reflected,
            reflected,
            overtaken: false,
        }
    }

    /// As the record wants it.
    pub(super) fn fits(&self, record: &NicRecord) -> bool {
        let placed = if record.membership().is_some() { self.isolated } else { self.enslaved };
        placed && self.guard == Some(record.guarding())
    }
}

impl Simulation {
    /// A VM whose agent has said hello.
    pub(super) fn new(limits: Limits) -> Self {
        Self::named("vm1", limits)
    }

    pub(super) fn named(vm: &str, limits: Limits) -> Self {
        let vm = VmName::new(vm).unwrap();
        let mut simulation = Self {
            machine: VmNics::new(vm.clone(), limits.clone(), Remembered::default()),
            vm,
            limits,
            ledger: BTreeMap::new(),
            kept: BTreeMap::new(),
            boot: None,
            links: BTreeMap::new(),
            devices: BTreeSet::new(),
            halves: BTreeSet::new(),
            withheld: BTreeSet::new(),
            spent: BTreeSet::new(),
            queue: vec![],
            answers: vec![],
            released: vec![],
            unreserved: vec![],
            now_ms: 0,
            slots: 100,
            next_nic: 1,
            next_ticket: 1,
        };
        simulation.observe();
        simulation.hello("boot-1");
        simulation
    }

    pub(super) fn decide(&mut self, decide: impl FnOnce(&mut VmNics, &mut Context<'_>) -> Outcome) {
        let next = &mut self.next_nic;
        let mut fresh = || {
            let nic = NicId(*next);
            *next += 1;
            (nic, Mac::of_nic(HOST, nic))
        };
        let mut context = Context { now_ms: self.now_ms, fresh_nic: &mut fresh };
        let outcome = decide(&mut self.machine, &mut context);
        for change in outcome.changes {
            match change {
                Change::Save(record) => drop(self.ledger.insert(record.nic, record)),
                Change::Erase(nic) => drop(self.ledger.remove(&nic)),
                Change::Release { purpose, .. } => self.released.push(purpose),
                Change::Reserve(kept) => drop(self.kept.insert(kept.address.addr(), kept)),
                Change::Unreserve { address, .. } => {
                    self.kept.remove(&address);
                    self.unreserved.push(address);
                }
                Change::Boot(boot) => self.boot = Some(boot),
            }
        }
        self.queue.extend(outcome.steps);
        self.answers.extend(outcome.answers);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(super) fn hello(&mut self, boot: &str) {
        let boot = BootId::new(boot).unwrap();
        self.decide(|machine, context| machine.hello(&boot, context));
    }

    pub(super) fn attach(&mut self, n: u32) -> Ticket {
        let ticket = self.ticket();
        let wish = Wish::Pod(AddressRequest::default());
        match self.machine.admits(&interface(n), &request(n), &network(), &wish) {
            Err(refusal) => self.answers.push((ticket, Answer::Refused(refusal))),
            Ok(Admission::Repeated) => self.decide(|m, _| m.attach_again(ticket, &interface(n))),
            Ok(Admission::New) => self.attach_new(ticket, n, purpose(n)),
        }
        ticket
    }

    /// What the pools had is given to an attach that was admitted.
    pub(super) fn attach_new(&mut self, ticket: Ticket, n: u32, purpose: Purpose) {
        let attachment = Attachment {
            id: interface(n),
            request: request(n),
            egress: None,
            ingress: None,
            sandbox: format!("/run/netns/c{n}"),
            pod: PodRef::default(),
            confirmed: false,
            pci_address: String::new(),
        };
        let order = AttachOrder { attachment, network: network(), mtu: Mtu::default(), purpose };
        self.decide(|m, c| m.attach(ticket, order, c));
    }

    pub(super) fn detach(&mut self, n: u32) -> Ticket {
        let ticket = self.ticket();
        self.decide(|m, c| m.detach(ticket, &interface(n), c));
        ticket
    }

    /// The guest tells every NIC that serves no confirmed pod, and which of them are of no more use.
    pub(super) fn report(&mut self) {
        let mut in_use: BTreeSet<NicId> = self
            .machine
            .nics()
            .filter(|nic| nic.record.attachment().is_some_and(|a| a.confirmed))
            .map(|nic| nic.record.nic)
            .collect();
        in_use.extend(&self.withheld);
        let idle = self.devices.difference(&in_use);
        let (spent, free): (Vec<NicId>, _) = idle.partition(|&nic| self.spent.contains(nic));
        let macs = |nics: Vec<NicId>| nics.into_iter().map(|nic| Mac::of_nic(HOST, nic)).collect();
        let (free, spent) = (macs(free), macs(spent));
        self.decide(|m, c| m.reported(&free, &spent, c));
    }

    /// As a look at it shows it.
    pub(super) fn world(&self) -> World {
        World {
            as_of: self.machine.generation(),
            state: VmState::Running,
            slots: Some(u32::try_from(self.slots).unwrap()),
            plugged: self.devices.clone(),
            halves: self.halves.clone(),
            host_ends: self.links.iter().map(|(&nic, link)| (nic, link.seen())).collect(),
        }
    }

    pub(super) fn observe(&mut self) -> Vec<String> {
        let world = self.world();
        let mut findings = vec![];
        self.decide(|m, c| {
            let mut out = Outcome::default();
            findings = m.observed(&world, c, &mut out);
            out
        });
        findings
    }

    /// Carries out one queued step and tells the machine; `fail` makes it fail with nothing done.
    pub(super) fn step(&mut self, index: usize, fail: bool) {
        if self.queue.is_empty() {
            return;
        }
        let order = self.queue.remove(index % self.queue.len());
        let result = if fail { Err(failure(&order.step)) } else { self.effect(&order) };
        self.decide(|m, c| m.step_ended(order.record.nic, result, c));
    }

    fn effect(&mut self, order: &StepOrder) -> Result<(), StepFailure> {
        let nic = order.record.nic;
        match &order.step {
            Step::CreateHostEnd => drop(self.links.insert(nic, Link::default())),
            Step::Guard(guarding) => {
                let link = self.links.entry(nic).or_default();
                let reflected = matches!(guarding, Guarding::Reflected(_));
                assert!(link.isolated || !reflected, "a bridge would flood to a localhost");
                link.guard = Some(guarding.clone());
            }
            Step::Enslave => {
                let link = self.links.get_mut(&nic).expect("enslaved after it was made");
                assert!(link.guard.is_some(), "a port without a guard");
                assert!(
                    !matches!(link.guard, Some(Guarding::Reflected(_))),
                    "a bridge would flood to a localhost"
                );
                (link.enslaved, link.isolated) = (true, false);
            }
            Step::Isolate => {
                let link = self.links.get_mut(&nic).expect("set up after it was made");
                (link.enslaved, link.isolated) = (false, true);
            }
            Step::Plug => {
                let link = &self.links[&nic];
                assert!(link.enslaved || link.isolated, "plugged before it was a port");
                if self.devices.len() >= self.slots {
                    return Err(StepFailure::NoSlot("no slot".into()));
                }
                assert!(self.devices.insert(nic), "plugged twice");
            }
            Step::Unplug => {
                self.devices.remove(&nic);
                self.halves.remove(&nic);
                self.links.remove(&nic);
            }
        }
        Ok(())
    }

    /// Carries out everything.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.queue.is_empty() {
                return;
            }
            self.step(0, false);
        }
        panic!("the machine never comes to rest: {:?}", self.queue);
    }

    /// The daemon dies and starts again. Host's ends that nobody had plugged die with its descriptors.
    pub(super) fn crash(&mut self) {
        self.queue.clear();
        let devices = &self.devices;
        self.links.retain(|nic, _| devices.contains(nic));
        self.machine = VmNics::new(self.vm.clone(), self.limits.clone(), self.remembered());
        self.observe();
    }

    /// What a new daemon reads.
    pub(super) fn remembered(&self) -> Remembered {
        Remembered {
            boot: self.boot.clone(),
            nics: self.ledger.values().cloned().collect(),
            reservations: self.kept.values().cloned().collect(),
        }
    }

    pub(super) fn answer(&self, ticket: Ticket) -> Option<&Answer> {
        self.answers.iter().find(|(t, _)| *t == ticket).map(|(_, answer)| answer)
    }

    pub(super) fn phases(&self) -> Vec<String> {
        self.machine.nics().map(|nic| nic.phase().to_string()).collect()
    }
}

pub(super) fn failure(step: &Step) -> StepFailure {
    match step {
        Step::Unplug => StepFailure::UnplugTimeout("the guest sleeps".into()),
        Step::Plug => StepFailure::Hypervisor("refused".into()),
        _ => StepFailure::Fabric("refused".into()),
    }
}
