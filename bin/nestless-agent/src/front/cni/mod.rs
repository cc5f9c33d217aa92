//! The CNI plugin's front: a socket on which it passes its calls on, one after the other or side by side.

mod add;
mod call;
mod check;
mod error;
mod socket;

pub(crate) use socket::{listen, serve};
