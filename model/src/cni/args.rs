//! What comes in environment variables: `CNI_*`, the pod in `CNI_ARGS`, and the trace.

use super::CniError;
use crate::{
    identity::{AttachmentId, ContainerId, InterfaceName},
    refusal::Reason,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The variables of one call. Names that concern no plugin are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let concerns_us = |name: &str| name.starts_with("CNI_") || TraceContext::VARIABLES.contains(&name);
        Self(variables.into_iter().filter(|(name, _)| concerns_us(name)).collect())
    }
}

impl Environment {
    /// The variable's value; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `CNI_COMMAND`, or nothing.
    pub fn command(&self) -> Option<&str> {
        self.get("CNI_COMMAND")
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, CniError> {
        self.get(name).ok_or_else(|| invalid(format!("{name} is not set")))
    }

    pub(super) fn attachment(&self) -> Result<AttachmentId, CniError> {
        let container = ContainerId::new(self.need("CNI_CONTAINERID")?);
        let interface = InterfaceName::new(self.need("CNI_IFNAME")?);
        Ok(AttachmentId {
            container: container.map_err(|e| invalid(format!("CNI_CONTAINERID: {e}")))?,
            interface: interface.map_err(|e| invalid(format!("CNI_IFNAME: {e}")))?,
        })
    }

    /// The trace that the runtime began, if it did.
    pub fn trace(&self) -> TraceContext {
        let [parent, state, baggage] = TraceContext::VARIABLES.map(|name| self.get(name).map(str::to_owned));
        TraceContext { parent, state, baggage }
    }
}

/// W3C Trace Context, as libcni passes it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`
    pub parent: Option<String>,
    /// `tracestate`
    pub state: Option<String>,
    /// `baggage`
    pub baggage: Option<String>,
}

impl TraceContext {
    const VARIABLES: [&str; 3] = ["TRACEPARENT", "TRACESTATE", "BAGGAGE"];
}

/// The pod that containerd and CRI-O tell in `CNI_ARGS`. Empty where there is no Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodArgs {
    /// K8S_POD_NAMESPACE
    pub namespace: String,
    /// K8S_POD_NAME
    pub name: String,
    /// K8S_POD_UID
    pub uid: String,
    /// K8S_POD_INFRA_CONTAINER_ID
    pub infra_container: String,
}

/// A Kubernetes name has at most 253 characters (RFC 1123 subdomain); a container id as many as [`ContainerId`].
const MAX_VALUE_BYTES: usize = 255;

impl PodArgs {
    /// Reads `KEY=VALUE;KEY=VALUE`. Keys that are not known are refused unless `IgnoreUnknown` is set, as the
    /// reference plugins do.
    pub(super) fn parse(text: &str) -> Result<Self, CniError> {
        let mut pod = Self::default();
        let mut unknown = None;
        let mut ignore_unknown = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                invalid(format!(
                    "CNI_ARGS has {:?}: expected KEY=VALUE pairs with ';' between them",
                    cut(pair)
                ))
            })?;
            if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                return Err(invalid(format!(
                    "CNI_ARGS {}: expected at most 255 printable characters",
                    cut(key)
                )));
            }
            match key {
                "K8S_POD_NAMESPACE" => pod.namespace = value.to_owned(),
                "K8S_POD_NAME" => pod.name = value.to_owned(),
                "K8S_POD_UID" => pod.uid = value.to_owned(),
                "K8S_POD_INFRA_CONTAINER_ID" => pod.infra_container = value.to_owned(),
                // Read where group and fraction are looked for.
                "NESTLESS_GROUP" | "NESTLESS_FRACTION" | "NESTLESS_SIZE" => {}
                "IgnoreUnknown" => ignore_unknown = matches!(value, "1" | "true" | "True" | "TRUE"),
                other => unknown = Some(cut(other)),
            }
        }
        match unknown.filter(|_| !ignore_unknown) {
            Some(key) => Err(invalid(format!(
                "CNI_ARGS has the unknown key {key:?}: remove it, or add IgnoreUnknown=1"
            ))),
            None => Ok(pod),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

pub(super) fn invalid(message: String) -> CniError {
    CniError::new(Reason::InvalidEnvironment, message)
}
