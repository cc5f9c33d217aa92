//! Builds fractions in network namespaces and keeps them until its input ends, for a look at them by hand:
//!
//! ```text
//! cargo run --release -p nestless-test --example fractions -- COUNT MTU
//! ```
//! It prints how to enter each namespace. The first `nsenter` is the host's; what it measures, nobody but the kernel
//! takes part in.

use anyhow::Context as _;
use nestless_model::identity::Mtu;
use nestless_support::netns::Namespace;
use nestless_test::fractions::Fractions;
use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default)).context("COUNT and MTU are numbers");
    let (count, mtu) = (next(2)?, Mtu::new(next(Mtu::MAX.bytes())?)?);
    let mut fractions = Fractions::with_mtu(mtu).await;
    let mut joined = Vec::new();
    for _ in 0..count {
        joined.push(fractions.join(1).await);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "host  {}", enter(&fractions.host))?;
    for fraction in &joined {
        writeln!(out, "{}  {}", fraction.link, enter(&fraction.namespace))?;
    }
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn enter(namespace: &Namespace) -> String {
    format!("nsenter --net=/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd())
}
