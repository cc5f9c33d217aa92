//! Who asks the agent for NICs, each in a language of its own: a front reads what it is asked, makes a request of the
//! core's of it, and tells result or error as its caller expects it. Whatever two fronts would share is the core's.
//!
//! A new front is a folder here and a line in `main`. It listens where its caller calls; makes an
//! [`AttachRequest`](crate::core::AttachRequest) or a [`DetachRequest`](crate::core::DetachRequest) of what it reads, with a
//! sandbox as [`Home`](nestless_guest::home::Home), or the VM's own namespace where the caller moves and names the link
//! itself; and maps the core's errors by their `reason()`, of which [`nestless_model::refusal`] has the kind and the
//! advice. It keeps no record of its own of what is attached: after a restart the core has it.

pub(crate) mod cni;
