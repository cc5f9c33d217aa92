//! Byte streams to the host, whatever carries them. Who we are is told by the channel, never by us.

mod dialer;
mod spec;

pub(crate) use dialer::{ByteStream, Dialer};
pub(crate) use spec::ChannelSpec;
