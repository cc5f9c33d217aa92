//! The host, as the rest of the agent sees it: there or away, and asked by typed calls.
//!
//! [`keep_connected`] dials and says Hello; [`HostClient`] makes each call on the connection that there is. What goes out
//! is a [`Wish`], what comes back an [`Offer`].

mod calls;
mod client;
mod connection;
mod error;
mod offer;
mod wish;

pub(crate) use calls::patiently;
pub(crate) use client::HostClient;
pub(crate) use connection::keep_connected;
pub(crate) use error::HostError;
pub(crate) use offer::{Listed, Offer, OfferedPod};
pub(crate) use wish::{PodWish, Purpose, Wish};
