//! The gRPC services. They translate, and check what comes from outside; the VM's task decides.

mod guest;
pub mod input;
mod joining;
mod loopback;
mod operator;
mod quota;
mod refusal;
mod trace;
mod translate;

pub(crate) use guest::{GuestService, too_many_calls};
pub(crate) use operator::OperatorService;
pub use refusal::Refusal;
