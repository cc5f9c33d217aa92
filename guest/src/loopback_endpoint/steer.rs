//! Steer in a sandbox. Its programs are the links' own: they outlive the agent and go with the sandbox.
//!
//! What leaves `lo` is asked of steer first of all, by TCX where the kernel has it. What comes by the endpoint needs a filter with
//! an action, which is only to be had by clsact; a TCX program there is asked before it, and shows in a check.

use super::error::{LoopbackEndpointError, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, SchedClassifier},
};
use nestless_bpf::steer::{ENDPOINT_IFINDEX, IN, OBJECT, OUT};
use nestless_model::identity::ENDPOINT_INTERFACE;
use nestless_support::{
    clsact::{self, Hook},
    hook::{self, Look, Way},
    netns::Namespace,
};
use std::io;

const LO: &str = "lo";
/// In the order in which steer comes. What comes from the host is let in before anything is sent.
const HOOKS: [(&str, Hook); 2] = [(ENDPOINT_INTERFACE, Hook::Ingress), (LO, Hook::Egress)];

pub(super) async fn attach(sandbox: &Namespace, endpoint_ifindex: u32) -> Result<()> {
    inside(sandbox, move || {
        let mut object = EbpfLoader::new()
            .override_global(ENDPOINT_IFINDEX, &endpoint_ifindex, true)
            .load(OBJECT)
            .map_err(load_error)?;
        // What comes is let in before anything is sent.
        clsact::hand_over(load(&mut object, IN)?, ENDPOINT_INTERFACE, LO)
            .map_err(|source| LoopbackEndpointError::HandOver { source })?;
        hook::set(way()?, load(&mut object, OUT)?, LO, Hook::Egress, &[OUT])
            .map_err(|error| LoopbackEndpointError::Attach { link: LO, source: io::Error::other(error) })
    })
    .await
}

fn load<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program: &mut SchedClassifier = object
        .program_mut(name)
        .expect("the object is embedded, and the crate's tests load it")
        .try_into()
        .map_err(load_error::<ProgramError>)?;
    program.load().map_err(load_error)?;
    Ok(program)
}

/// Succeeds where steer is not, or no longer.
pub(super) async fn detach(sandbox: &Namespace) -> Result<()> {
    inside(sandbox, || {
        for (link, hook) in HOOKS.iter().rev() {
            if index(link).is_ok() {
                hook::clear(way()?, link, *hook, &[OUT])
                    .map_err(|source| LoopbackEndpointError::Attach { link, source })?;
            }
        }
        Ok(())
    })
    .await
}

/// Whether `lo` has a clsact qdisc, whoever made it.
pub(super) async fn hooks_exist(sandbox: &Namespace) -> Result<bool> {
    inside(sandbox, || clsact::exists(LO).map_err(|source| LoopbackEndpointError::Hooks { source })).await
}

/// Takes the clsact qdisc off `lo`, unless somebody's filter is there.
pub(super) async fn remove_unused_hooks(sandbox: &Namespace) -> Result<()> {
    inside(sandbox, || clsact::remove_unused(LO).map_err(|source| LoopbackEndpointError::Hooks { source }))
        .await
}

/// Whether steer is on both hooks.
///
/// # Errors
/// [`LoopbackEndpointError::Overtaken`] when it is, and another's program is asked before it.
pub(super) async fn is_attached(sandbox: &Namespace) -> Result<bool> {
    inside(sandbox, || {
        for (link, hook) in HOOKS {
            let Ok(ifindex) = index(link) else { return Ok(false) };
            let seen =
                look(ifindex, hook).map_err(|source| LoopbackEndpointError::Attach { link, source })?;
            if seen.program_id.is_none() {
                return Ok(false);
            }
            if !seen.before.is_empty() {
                return Err(LoopbackEndpointError::Overtaken { link, by: seen.before });
            }
        }
        Ok(true)
    })
    .await
}

fn look(ifindex: u32, hook: Hook) -> io::Result<Look> {
    let way = Way::of_kernel().map_err(io::Error::other)?;
    match hook {
        Hook::Ingress => hook::look_at_filter(way, ifindex, hook),
        Hook::Egress => {
            let seen = hook::look(way, ifindex, hook, &[OUT])?;
            // An agent of former times put it where every TCX program is asked before it.
            if seen.former { hook::look_at_filter(way, ifindex, hook) } else { Ok(seen) }
        }
    }
}

fn way() -> Result<Way> {
    Way::of_kernel().map_err(load_error)
}

async fn inside<T: Send + 'static>(
    sandbox: &Namespace,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    sandbox.run(work).await.map_err(|source| LoopbackEndpointError::Enter { source })?
}

fn index(link: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(link).map_err(io::Error::from)
}

fn load_error<E: std::error::Error + Send + Sync + 'static>(source: E) -> LoopbackEndpointError {
    LoopbackEndpointError::Load { source: Box::new(source) }
}
