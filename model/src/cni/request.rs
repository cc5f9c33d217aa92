//! From environment and standard input to a typed request: the door through which everything passes.

use super::{
    CniError, CniResult, Environment, Mode, NetworkConf, PodArgs, Version,
    args::invalid,
    conf::{Depth, decode},
    loopback,
};
use crate::{identity::AttachmentId, loopback::JoinWish, refusal::Reason};
use serde_json::Value;

/// What the runtime wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Attach a sandbox.
    Add(Box<Add>),
    /// Detach it: whatever is left of it, any number of times.
    Del(Box<Del>),
    /// Is it still as ADD left it?
    Check(Box<Check>),
    /// Detach all that are not listed.
    Gc(Box<Gc>),
    /// Could an ADD be served?
    Status(Box<NetworkConf>),
    /// Which versions are spoken, asked in this one? Needs no agent.
    Version(String),
}

/// ADD
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Which interface of which container.
    pub attachment: AttachmentId,
    /// Path of the sandbox, as the runtime names it.
    pub sandbox: String,
    /// The configuration.
    pub conf: NetworkConf,
    /// Who it is for.
    pub pod: PodArgs,
    /// The fraction it is, for a plugin of [`Mode::Loopback`] and a pod that is split.
    pub join: Option<JoinWish>,
}

/// DEL
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Del {
    /// Which interface of which container.
    pub attachment: AttachmentId,
    /// Path of the sandbox; `None` when it is gone.
    pub sandbox: Option<String>,
    /// The configuration, as far as it identifies network and agent.
    pub conf: NetworkConf,
}

/// CHECK
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which interface of which container.
    pub attachment: AttachmentId,
    /// Path of the sandbox.
    pub sandbox: String,
    /// The configuration.
    pub conf: NetworkConf,
    /// What ADD and the plugins after it returned.
    pub prev_result: CniResult,
}

/// GC
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gc {
    /// The configuration, as far as it identifies network and agent.
    pub conf: NetworkConf,
    /// Those that live.
    pub valid: Vec<AttachmentId>,
}

impl Request {
    /// The configuration, where the command has one.
    pub fn conf(&self) -> Option<&NetworkConf> {
        match self {
            Self::Add(add) => Some(&add.conf),
            Self::Del(del) => Some(&del.conf),
            Self::Check(check) => Some(&check.conf),
            Self::Gc(gc) => Some(&gc.conf),
            Self::Status(conf) => Some(conf),
            Self::Version(_) => None,
        }
    }

    /// The version to answer in.
    pub fn version(&self) -> Version {
        match self {
            Self::Version(asked) => Version::parse(asked).unwrap_or(Version::LATEST),
            other => other.conf().map_or(Version::LATEST, |conf| conf.version),
        }
    }
}

/// Reads one call. Nothing in `environment` or `stdin` is trusted; this never panics.
///
/// # Errors
/// With the specification's code, and a message that names the variable or key and what was expected.
pub fn parse_request(environment: &Environment, stdin: &str) -> Result<Request, CniError> {
    match environment.need("CNI_COMMAND")? {
        "ADD" => parse_add(environment, &decode(stdin)?).map(|add| Request::Add(Box::new(add))),
        "DEL" => parse_del(environment, &decode(stdin)?).map(|del| Request::Del(Box::new(del))),
        "CHECK" => parse_check(environment, &decode(stdin)?).map(|check| Request::Check(Box::new(check))),
        "GC" => parse_gc(&decode(stdin)?).map(|gc| Request::Gc(Box::new(gc))),
        "STATUS" => parse_status(&decode(stdin)?).map(|conf| Request::Status(Box::new(conf))),
        "VERSION" => Ok(Request::Version(asked_version(stdin))),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(invalid(format!("CNI_COMMAND is {shown:?}: expected ADD, DEL, CHECK, GC, STATUS or VERSION")))
        }
    }
}

/// The version in which an error about `stdin` is told: the one it asks for, if it can be made out.
pub fn answer_version(stdin: &str) -> Version {
    Version::parse(&asked_version(stdin)).unwrap_or(Version::LATEST)
}

/// A runtime of a later version asks in that version, and is answered in it. What cannot be one is not repeated.
fn asked_version(stdin: &str) -> String {
    let conf = serde_json::from_str::<Value>(stdin).ok();
    let asked = conf.as_ref().and_then(|value| value.get("cniVersion")).and_then(Value::as_str);
    let is_version = |text: &&str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b))
    };
    asked.filter(is_version).unwrap_or(Version::LATEST.as_str()).to_owned()
}

fn parse_add(environment: &Environment, conf: &Value) -> Result<Add, CniError> {
    let (called_for, parsed) = (environment.attachment()?, NetworkConf::parse(conf, Depth::Whole)?);
    Ok(Add {
        attachment: parsed.attachment(called_for),
        sandbox: environment.need("CNI_NETNS")?.to_owned(),
        join: match parsed.mode {
            Mode::Pod => None,
            Mode::Loopback => loopback::wish(conf, environment)?,
        },
        conf: parsed,
        pod: PodArgs::parse(environment.get("CNI_ARGS").unwrap_or_default())?,
    })
}

fn parse_del(environment: &Environment, conf: &Value) -> Result<Del, CniError> {
    let (called_for, conf) = (environment.attachment()?, NetworkConf::parse(conf, Depth::Identity)?);
    Ok(Del {
        attachment: conf.attachment(called_for),
        sandbox: environment.get("CNI_NETNS").map(str::to_owned),
        conf,
    })
}

fn parse_check(environment: &Environment, conf: &Value) -> Result<Check, CniError> {
    let conf = NetworkConf::parse(conf, Depth::Whole)?;
    needs("CHECK", Version::V0_4_0, &conf)?;
    let prev_result = conf.prev_result.clone();
    Ok(Check {
        attachment: conf.attachment(environment.attachment()?),
        sandbox: environment.need("CNI_NETNS")?.to_owned(),
        prev_result: prev_result.ok_or_else(|| {
            CniError::new(Reason::Invalid, "prevResult is missing: CHECK compares with what ADD returned")
        })?,
        conf,
    })
}

fn parse_gc(conf: &Value) -> Result<Gc, CniError> {
    let parsed = NetworkConf::parse(conf, Depth::Identity)?;
    needs("GC", Version::V1_1_0, &parsed)?;
    Ok(Gc { valid: parsed.valid_attachments(conf)?, conf: parsed })
}

fn parse_status(conf: &Value) -> Result<NetworkConf, CniError> {
    let parsed = NetworkConf::parse(conf, Depth::Whole)?;
    needs("STATUS", Version::V1_1_0, &parsed)?;
    Ok(parsed)
}

/// A command asked for in a version that does not have it.
fn needs(command: &str, since: Version, conf: &NetworkConf) -> Result<(), CniError> {
    if conf.version >= since {
        return Ok(());
    }
    let message = format!("cniVersion {:?} has no {command}: it came with {since}", conf.version.as_str());
    Err(CniError::new(Reason::IncompatibleVersion, message))
}
