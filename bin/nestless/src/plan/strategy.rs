//! `--strategy`: one instead of the best of all.

use nestless_placement::{Strategy, strategies, strategy};

#[derive(Debug, clap::Args)]
pub(super) struct Only {
    /// Place with one strategy instead of the best of all.
    #[arg(long, value_name = "NAME", value_parser = known)]
    strategy: Option<String>,
}

impl Only {
    pub(super) fn strategy(&self) -> Option<Box<dyn Strategy>> {
        self.name().and_then(strategy)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.strategy.as_deref()
    }
}

fn known(name: &str) -> Result<String, String> {
    let known: Vec<_> = strategies().iter().map(|strategy| strategy.name()).collect();
    if known.contains(&name) { Ok(name.to_owned()) } else { Err(format!("known are {}", known.join(", "))) }
}
