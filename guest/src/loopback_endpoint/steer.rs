//! Steer in a sandbox. Its filters are the links' own: they outlive the agent and go with the sandbox.

use super::error::{LoopbackEndpointError, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, SchedClassifier},
};
use nestless_bpf::steer::{ENDPOINT_IFINDEX, IN, OBJECT, OUT};
use nestless_model::identity::ENDPOINT_INTERFACE;
use nestless_support::{
    clsact::{self, Hook},
    netns::Namespace,
};
use std::io;

/// Steer sees no difference between filters, so all have the same class.
const CLASS: u32 = 1;
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
        let exists = is_on(LO, Hook::Egress)?;
        clsact::set(load(&mut object, OUT)?, LO, Hook::Egress, CLASS, exists)
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
                clsact::clear(link, *hook)
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

pub(super) async fn is_attached(sandbox: &Namespace) -> Result<bool> {
    inside(sandbox, || {
        for (link, hook) in HOOKS {
            if index(link).is_err() || !is_on(link, hook)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

fn is_on(link: &'static str, hook: Hook) -> Result<bool> {
    let there = index(link).and_then(|ifindex| clsact::get(ifindex, hook));
    Ok(there.map_err(|source| LoopbackEndpointError::Attach { link, source })?.is_some())
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
