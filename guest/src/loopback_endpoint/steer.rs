//! Steer in a sandbox. Its filters are the links' own: they outlive the agent and go with the sandbox.

use super::{LoopbackEndpointError, NAME, Result};
use aya::{Ebpf, EbpfLoader, programs::SchedClassifier};
use nestless_bpf::steer::{ENDPOINT_IFINDEX, IN, OBJECT, OUT};
use nestless_support::{
    clsact::{self, Hook},
    netns::Namespace,
};
use std::io;

/// Steer sees no difference between filters, so all have the same class.
const CLASS: u32 = 1;
/// What comes is let in before anything is sent; `lo` is last.
const PLACES: [(&str, &str, Hook); 2] = [(NAME, IN, Hook::Ingress), ("lo", OUT, Hook::Egress)];

pub(super) async fn attach(sandbox: &Namespace, endpoint_ifindex: u32) -> Result<()> {
    inside(sandbox, move || {
        let mut object = EbpfLoader::new()
            .override_global(ENDPOINT_IFINDEX, &endpoint_ifindex, true)
            .load(OBJECT)
            .map_err(load_error)?;
        PLACES.iter().try_for_each(|(link, program, hook)| put(&mut object, link, program, *hook))
    })
    .await
}

fn put(object: &mut Ebpf, link: &'static str, name: &str, hook: Hook) -> Result<()> {
    let attach_error = |source| LoopbackEndpointError::Attach { link, source };
    let program: &mut SchedClassifier = object
        .program_mut(name)
        .expect("the object is embedded, and the crate's tests load it")
        .try_into()
        .map_err(load_error::<aya::programs::ProgramError>)?;
    program.load().map_err(load_error)?;
    let there = clsact::get(index(link).map_err(attach_error)?, hook).map_err(attach_error)?;
    clsact::set(program, link, hook, CLASS, there.is_some())
        .map_err(|error| attach_error(io::Error::other(error)))
}

/// Succeeds where steer is not, or no longer.
pub(super) async fn detach(sandbox: &Namespace) -> Result<()> {
    inside(sandbox, || {
        for (link, _, hook) in PLACES.iter().rev() {
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
    inside(sandbox, || clsact::exists("lo").map_err(|source| LoopbackEndpointError::Hooks { source })).await
}

/// Takes the clsact qdisc off `lo`, unless somebody's filter is there.
pub(super) async fn remove_unused_hooks(sandbox: &Namespace) -> Result<()> {
    inside(sandbox, || clsact::remove_unused("lo").map_err(|source| LoopbackEndpointError::Hooks { source }))
        .await
}

pub(super) async fn is_attached(sandbox: &Namespace) -> Result<bool> {
    inside(sandbox, || {
        for (link, _, hook) in PLACES {
            let Ok(ifindex) = index(link) else { return Ok(false) };
            let there = clsact::get(ifindex, hook);
            if there.map_err(|source| LoopbackEndpointError::Attach { link, source })?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
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
