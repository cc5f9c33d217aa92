//! Whether one end reaches another, tried from inside network namespaces.

mod echo;
mod talk;

pub(crate) use echo::echo;
pub(crate) use talk::{connect, talk_tcp, talk_udp};
