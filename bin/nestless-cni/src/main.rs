//! The CNI plugin: passes one call, and the sandbox it is about, to the agent of this VM and prints the answer.
//!
//! It lives for a moment, many at a time, beside pods that want the memory: no runtime, no threads, no network code.

mod agent;
mod input;

use nestless_model::cni::{
    Answer, CniError, Environment, Invocation, Request, Version, answer_version, parse_request,
};
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    let environment: Environment = input::environment();
    if environment.command().is_none() {
        return explain();
    }
    let (version, outcome) = match input::configuration() {
        Ok(configuration) => (answer_version(&configuration), serve(environment, configuration)),
        Err(error) => (Version::LATEST, Err(error)),
    };
    print(&outcome.unwrap_or_else(|error| Answer::failure(&error, version)))
}

/// Everything that can be refused without the agent is refused here, so that a wrong configuration is told apart from an
/// agent that does not run.
fn serve(environment: Environment, configuration: String) -> Result<Answer, CniError> {
    let request = parse_request(&environment, &configuration)?;
    if let Request::Version(asked) = &request {
        return Ok(Answer::success(Some(Version::supported(asked))));
    }
    let sandbox = input::sandbox(&request)?;
    agent::call(&request, &Invocation { environment, configuration }, sandbox.as_ref())
}

/// CNI wants result and error alike on standard output.
fn print(answer: &Answer) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let written = match &answer.output {
        Some(output) => writeln!(stdout, "{output}").and_then(|()| stdout.flush()),
        None => Ok(()),
    };
    if answer.success && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// For a person who calls the plugin by hand.
fn explain() -> ExitCode {
    let versions = Version::ALL.map(Version::as_str).join(", ");
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(
        stderr,
        "nestless-cni {}: a CNI plugin (versions {versions}), called by a container runtime with CNI_COMMAND set and a \
         network configuration on standard input",
        env!("CARGO_PKG_VERSION"),
    );
    ExitCode::FAILURE
}
