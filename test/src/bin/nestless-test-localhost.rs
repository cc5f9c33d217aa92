//! Tries a localhost from inside.
//!
//! ```text
//! serve                  the battery of services; says "listening" when it is, and stops when its input ends
//! ask [BEHAVIOUR...]     all behaviours or some, a line for each that holds: "ok half-close"
//! serve-as NAME PORT     a server that tells its name; listens and stops as the battery does
//! meet PORT COUNT        asks so many times by TCP and by UDP who serves; a line for each: "tcp NAME 57"
//! nobody PORT            fails when somebody serves that port, or it is not said that nobody does
//! ```
#![allow(clippy::print_stdout, reason = "output is what it is for")]

use anyhow::{Context as _, Result, bail};
use nestless_test::localhost::{BEHAVIOURS, names, nobody};
use std::io::{self, Read as _, Write as _};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["ask", ref chosen @ ..] => ask(chosen),
        ["serve-as", name, port] => {
            names::serve(name, port.parse().context("read the port")?)?;
            until_told()
        }
        ["nobody", port] => nobody::listens(port.parse().context("read the port")?),
        ["meet", port, count] => {
            let met = names::meet(
                port.parse().context("read the port")?,
                count.parse().context("read the count")?,
            )?;
            met.iter().for_each(|(who, times)| println!("{who} {times}"));
            Ok(())
        }
        _ => bail!(
            "usage: nestless-test-localhost serve | ask [BEHAVIOUR...] | serve-as NAME PORT | meet PORT COUNT | nobody PORT"
        ),
    }
}

fn serve() -> Result<()> {
    for behaviour in BEHAVIOURS {
        behaviour.serve().with_context(|| format!("serve {}", behaviour.name))?;
    }
    until_told()
}

fn until_told() -> Result<()> {
    println!("listening");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn ask(chosen: &[&str]) -> Result<()> {
    if let Some(unknown) = chosen.iter().find(|name| !BEHAVIOURS.iter().any(|known| known.name == **name)) {
        bail!("there is no behaviour {unknown}");
    }
    for behaviour in BEHAVIOURS.iter().filter(|known| chosen.is_empty() || chosen.contains(&known.name)) {
        behaviour.ask().with_context(|| format!("{} does not hold", behaviour.name))?;
        println!("ok {}", behaviour.name);
        io::stdout().flush()?;
    }
    Ok(())
}
