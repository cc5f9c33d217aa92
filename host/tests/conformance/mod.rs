//! What every back end does, whatever it is: the same tests, run against real parts. A back end's test file has a [`Site`]
//! and says `conformance!(crate::its_file::ItsSite);`.

use nestless_host::hypervisor::{
    BackEnd, Connected, Hypervisor, HypervisorError, HypervisorEvent, NicSpec, Observation,
};
use nestless_model::{
    attachment::VmState,
    identity::{Mac, Mtu, NicId, VmName},
};
use nestless_support::{
    netlink::{LinkMonitor, Netlink},
    netns::Namespace,
    tap,
};
use std::time::Duration;

/// Short, because a guest that does not answer never will.
pub(crate) const UNANSWERED: Duration = Duration::from_millis(200);
/// Long enough that only a hang reaches it.
pub(crate) const ANSWERED: Duration = Duration::from_secs(30);

/// A VM for the suite, which runs when it is made. It ends when it is dropped.
pub(crate) trait Site {
    type BackEnd: BackEnd + Default;
    /// Its hot-plug slots, where the back end can count them.
    const SLOTS: Option<u32>;
    /// How many kinds of remains [`Site::leave_half`] can leave.
    const HALVES: usize;

    fn start() -> Self;

    fn config(&self) -> <Self::BackEnd as BackEnd>::Config;

    /// What a guest does that lets go of what it was asked for, if it does not do so by itself.
    async fn let_go(&self);

    /// Leaves what a daemon leaves that dies in the middle of a plug. Nothing is connected to the VM meanwhile.
    async fn leave_half(&self, nic: NicId, which: usize);

    fn stop(&mut self);
}

type Vm<S> = <<S as Site>::BackEnd as BackEnd>::Vm;

/// Runs in a network namespace of the test's own, and counts what is left there.
pub(crate) fn inside<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = || {
        runtime().block_on(test());
        // The kernel takes a namespace that nobody has any more apart in its own time.
        runtime().block_on(links_until(|names| names == ["lo"]));
    };
    Namespace::anonymous().unwrap().run_blocking(work).unwrap();
}

/// Waits for the namespace's links to be such.
async fn links_until(wanted: impl Fn(&[String]) -> bool) {
    let (mut monitor, netlink) = (LinkMonitor::here().unwrap(), Netlink::here().unwrap());
    let names = async || -> Vec<String> {
        netlink.links().await.unwrap().into_iter().map(|link| link.name).collect()
    };
    let reached = async {
        while !wanted(&names().await) {
            monitor.next().await.unwrap();
        }
    };
    if tokio::time::timeout(ANSWERED, reached).await.is_err() {
        panic!("links that should be gone: {:?}", names().await);
    }
}

pub(crate) fn nic(id: u32) -> NicSpec {
    let nic = NicId(id);
    NicSpec { nic, mac: Mac::of_nic(1, nic), mtu: Mtu::new(1400).unwrap(), queues: 1 }
}

pub(crate) fn link_exists(nic: NicId) -> bool {
    tap::exists(nic.link_name().as_str())
}

pub(crate) async fn plug<H: Hypervisor>(vm: &H, spec: &NicSpec) -> Result<(), HypervisorError> {
    let host_end = vm.create_host_end(spec).await?;
    vm.plug(spec, host_end).await
}

async fn unplug<S: Site>(site: &S, vm: &Vm<S>, nic: NicId) {
    match vm.unplug(nic, UNANSWERED).await {
        Err(HypervisorError::UnplugTimeout { .. }) => {
            site.let_go().await;
            vm.unplug(nic, ANSWERED).await.unwrap();
        }
        unplugged => unplugged.unwrap(),
    }
}

/// As a daemon has it that has just started.
async fn connect<S: Site>(site: &S) -> Connected<Vm<S>> {
    connect_by(&mut S::BackEnd::default(), site, "vm").await
}

async fn connect_by<S: Site>(back_end: &mut S::BackEnd, site: &S, name: &str) -> Connected<Vm<S>> {
    let mut connected = back_end.connect(&VmName::new(name).unwrap(), &site.config()).unwrap();
    told(&mut connected, HypervisorEvent::Up).await;
    connected
}

/// Waits for an event; others may come before.
async fn told<H>(connected: &mut Connected<H>, wanted: HypervisorEvent) {
    let heard = async { while connected.events.recv().await.expect("events go on") != wanted {} };
    tokio::time::timeout(ANSWERED, heard).await.unwrap_or_else(|_| panic!("{wanted:?} was not told"));
}

async fn gone(nic: NicId) {
    links_until(|names| !names.iter().any(|name| name == nic.link_name().as_str())).await;
}

/// The NICs that are there as a whole.
fn whole(observation: &Observation) -> Vec<NicId> {
    observation.nics.difference(&observation.halves).copied().collect()
}

pub(crate) async fn a_host_end_is_down_and_goes_when_it_is_dropped<S: Site>() {
    let site = S::start();
    let connected = connect(&site).await;
    for _ in 0..2 {
        let host_end = connected.hypervisor.create_host_end(&nic(1)).await.unwrap();
        let link = Netlink::here().unwrap().link("nl1").await.unwrap();
        assert_eq!((link.up, link.master), (false, None));
        drop(host_end);
        gone(NicId(1)).await;
    }
}

pub(crate) async fn a_nic_is_plugged_seen_and_unplugged_any_number_of_times<S: Site>() {
    let site = S::start();
    let connected = connect(&site).await;
    let vm = &connected.hypervisor;
    for _ in 0..2 {
        plug(vm, &nic(1)).await.unwrap();
        let seen = vm.observe().await.unwrap();
        assert_ne!(seen.state, VmState::Down);
        assert_eq!(whole(&seen), [NicId(1)]);
        assert!(link_exists(NicId(1)));
        for _ in 0..2 {
            unplug(&site, vm, NicId(1)).await;
        }
        assert!(!link_exists(NicId(1)));
        assert_eq!(vm.observe().await.unwrap().nics, [].into());
    }
}

pub(crate) async fn a_nic_without_its_host_end_is_not_plugged<S: Site>() {
    let site = S::start();
    let connected = connect(&site).await.erased();
    let vm = &connected.hypervisor;
    let refused = vm.plug(&nic(1)).await;
    assert!(matches!(refused, Err(HypervisorError::NoHostEnd { nic: NicId(1) })), "{refused:?}");
    vm.create_host_end(&nic(1)).await.unwrap();
    // Made again, as after a step whose answer was lost.
    vm.create_host_end(&nic(1)).await.unwrap();
    vm.plug(&nic(1)).await.unwrap();
    let refused = vm.plug(&nic(1)).await;
    assert!(matches!(refused, Err(HypervisorError::NoHostEnd { .. })), "{refused:?}");
    assert_eq!(whole(&vm.observe().await.unwrap()), [NicId(1)]);
}

pub(crate) async fn half_a_plug_is_undone<S: Site>() {
    let site = S::start();
    for which in 0..S::HALVES {
        site.leave_half(NicId(9), which).await;
        let connected = connect(&site).await;
        let vm = &connected.hypervisor;
        let taken = whole(&vm.observe().await.unwrap());
        assert!(taken.is_empty(), "half {which} is taken for a whole NIC");
        for _ in 0..2 {
            unplug(&site, vm, NicId(9)).await;
        }
        gone(NicId(9)).await;
        assert_eq!(vm.observe().await.unwrap().nics, [].into(), "half {which}");
    }
}

pub(crate) async fn half_a_plug_is_in_nobodys_way<S: Site>() {
    let site = S::start();
    for which in 0..S::HALVES {
        site.leave_half(NicId(9), which).await;
        let connected = connect(&site).await;
        plug(&connected.hypervisor, &nic(9)).await.unwrap();
        assert_eq!(whole(&connected.hypervisor.observe().await.unwrap()), [NicId(9)], "half {which}");
        unplug(&site, &connected.hypervisor, NicId(9)).await;
    }
}

pub(crate) async fn a_restart_finds_what_is_plugged<S: Site>() {
    let site = S::start();
    {
        let connected = connect(&site).await;
        plug(&connected.hypervisor, &nic(1)).await.unwrap();
        plug(&connected.hypervisor, &nic(2)).await.unwrap();
    }
    let mut connected = connect(&site).await;
    assert_eq!(whole(&connected.hypervisor.observe().await.unwrap()), [NicId(1), NicId(2)]);
    unplug(&site, &connected.hypervisor, NicId(1)).await;
    told(&mut connected, HypervisorEvent::NicGone(NicId(1))).await;
    assert_eq!(whole(&connected.hypervisor.observe().await.unwrap()), [NicId(2)]);
}

pub(crate) async fn slots_are_counted_and_a_full_vm_refuses<S: Site>() {
    let site = S::start();
    let connected = connect(&site).await;
    let vm = &connected.hypervisor;
    assert_eq!(vm.observe().await.unwrap().slots, S::SLOTS);
    let Some(slots) = S::SLOTS else { return };
    for id in 1..=slots {
        plug(vm, &nic(id)).await.unwrap();
    }
    let refused = plug(vm, &nic(slots + 1)).await;
    assert!(matches!(refused, Err(HypervisorError::NoSlot { .. })), "{refused:?}");
    gone(NicId(slots + 1)).await;
    let full = vm.observe().await.unwrap();
    assert_eq!((full.slots, whole(&full).len()), (Some(slots), slots as usize));
    unplug(&site, vm, NicId(1)).await;
    plug(vm, &nic(slots + 1)).await.unwrap();
}

pub(crate) async fn nics_and_the_vm_itself_are_told_of_when_they_go<S: Site>() {
    let mut site = S::start();
    let mut connected = connect(&site).await;
    plug(&connected.hypervisor, &nic(1)).await.unwrap();
    plug(&connected.hypervisor, &nic(2)).await.unwrap();
    unplug(&site, &connected.hypervisor, NicId(1)).await;
    told(&mut connected, HypervisorEvent::NicGone(NicId(1))).await;
    site.stop();
    told(&mut connected, HypervisorEvent::Down).await;
    gone(NicId(2)).await;
}

pub(crate) async fn a_vm_that_is_down_has_nothing_and_takes_nothing<S: Site>() {
    let mut site = S::start();
    let mut connected = connect(&site).await;
    plug(&connected.hypervisor, &nic(1)).await.unwrap();
    site.stop();
    told(&mut connected, HypervisorEvent::Down).await;
    gone(NicId(1)).await;
    let seen = connected.hypervisor.observe().await.unwrap();
    assert_eq!((seen.state, seen.nics), (VmState::Down, [].into()));
    let refused = plug(&connected.hypervisor, &nic(2)).await;
    assert!(matches!(refused, Err(HypervisorError::Down { .. })), "{refused:?}");
    gone(NicId(2)).await;
}

pub(crate) async fn vms_of_one_back_end_share_it_and_nothing_else<S: Site>() {
    let mut back_end = S::BackEnd::default();
    let (mut one, two) = (S::start(), S::start());
    let mut first = connect_by(&mut back_end, &one, "one").await;
    let mut second = connect_by(&mut back_end, &two, "two").await;
    // Whatever they share, they hold themselves.
    drop(back_end);
    plug(&first.hypervisor, &nic(1)).await.unwrap();
    plug(&second.hypervisor, &nic(2)).await.unwrap();
    assert_eq!(whole(&first.hypervisor.observe().await.unwrap()), [NicId(1)]);
    assert_eq!(whole(&second.hypervisor.observe().await.unwrap()), [NicId(2)]);
    one.stop();
    told(&mut first, HypervisorEvent::Down).await;
    drop(first);
    unplug(&two, &second.hypervisor, NicId(2)).await;
    while let Ok(event) = second.events.try_recv() {
        let own = matches!(event, HypervisorEvent::NicGone(NicId(2)) | HypervisorEvent::Reset);
        assert!(own, "{event:?} is the other VM's");
    }
}

/// Makes a test of each of these functions for a [`Site`].
macro_rules! conformance {
    ($site:ty) => {
        conformance! { $site:
            a_host_end_is_down_and_goes_when_it_is_dropped,
            a_nic_is_plugged_seen_and_unplugged_any_number_of_times,
            a_nic_without_its_host_end_is_not_plugged,
            half_a_plug_is_undone,
            half_a_plug_is_in_nobodys_way,
            a_restart_finds_what_is_plugged,
            slots_are_counted_and_a_full_vm_refuses,
            nics_and_the_vm_itself_are_told_of_when_they_go,
            a_vm_that_is_down_has_nothing_and_takes_nothing,
            vms_of_one_back_end_share_it_and_nothing_else,
        }
    };
    ($site:ty: $($test:ident,)*) => {
        mod conforms {
            $(#[test]
            fn $test() {
                $crate::conformance::inside($crate::conformance::$test::<$site>);
            })*
        }
    };
}
