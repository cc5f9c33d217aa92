//! Kubernetes: what `kubectl get pods,nodes -A -o json` prints, and manifests.
//!
//! Pods count themselves; Deployments, ReplicaSets, StatefulSets, Jobs and CronJobs (one run) count their replicas, and
//! the pods and ReplicaSets that such an object in the same input owns are counted once. Pods of DaemonSets are no
//! load of a client: every VM that they may run on keeps their requests for itself. Static pods belong to their node and
//! are none either.

mod demand;
mod document;
mod json;
mod node;
mod object;
mod pod;
mod together;
mod yaml;

pub use demand::NAMESPACE;
pub use node::Node;
pub use together::ANNOTATION;

use super::fault::{Fault, Ledger, Problem, Skip};
use crate::fleet::{Fleet, Lifetime};
use document::Document;
use nestless_placement::{Pod, Resources};
use object::{CronJobSpec, Head, JobSpec, Metadata, Object, PodObject, ReplicaSpec, Template};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::sync::Arc;

/// The client of pods for which the input names nobody.
pub const NOBODY: &str = "(none)";
/// More replicas than any cluster runs would only fill the memory.
const MAX_REPLICAS: u32 = 1_000_000;

/// Who pays for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// One client has the whole cluster; namespaces share VMs.
    Cluster,
    /// Every namespace has VMs of its own.
    Namespace,
    /// Every value of this label has VMs of its own; pods without it are [`NOBODY`]'s.
    Label(String),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Clients and their pods.
    pub fleet: Fleet,
    /// One pod for each DaemonSet.
    pub daemons: Vec<Pod>,
    /// Today's nodes.
    pub nodes: Vec<Node>,
    /// The node each pod runs on today, by the pod's name; pods that wait, and replicas of workloads, are not here.
    pub homes: BTreeMap<String, String>,
}

/// Gathers objects from any number of files.
#[derive(Debug)]
pub struct Objects {
    payer: Payer,
    pods: Vec<Pending>,
    controllers: BTreeSet<Name>,
    daemons: BTreeMap<Name, Pod>,
    nodes: Vec<Node>,
    /// What static pods take, and how many they are, by node.
    fixed: BTreeMap<String, (Resources, u32)>,
}

/// Namespace, kind, name.
type Name = (String, String, String);

#[derive(Debug)]
struct Pending {
    client: String,
    pod: Pod,
    replicas: u32,
    node: Option<String>,
    /// The controllers that may have made it; if one is in the input, it stands for this.
    owners: Vec<Name>,
}

impl Objects {
    /// Nothing yet.
    pub fn new(payer: Payer) -> Self {
        Self {
            payer,
            pods: Vec::new(),
            controllers: BTreeSet::new(),
            daemons: BTreeMap::new(),
            nodes: Vec::new(),
            fixed: BTreeMap::new(),
        }
    }

    /// Reads a file, JSON when it begins with a brace and YAML otherwise.
    ///
    /// # Errors
    /// The first fault, unless `ledger` is lenient.
    pub fn read(
        &mut self,
        mut input: impl BufRead,
        file: &Arc<str>,
        ledger: &mut Ledger,
    ) -> Result<(), Fault> {
        let blank = |problem| Fault { file: Arc::clone(file), line: 1, field: "(document)".into(), problem };
        let is_json = match first_byte(&mut input) {
            Ok(byte) => byte == Some(b'{'),
            Err(error) => return ledger.fault(blank(Problem::Unreadable(error))),
        };
        // Faults of single objects are tolerated where they arise; what comes out here ends the file.
        let mut refused = false;
        let read = if is_json {
            json::objects(input, file, &mut |document| {
                self.object(&document, ledger).inspect_err(|_| refused = true)
            })
        } else {
            yaml::objects(input, file, &mut |document| {
                let added = document.and_then(|document| self.add(&document, ledger));
                added.or_else(|fault| ledger.fault(fault)).inspect_err(|_| refused = true)
            })
        };
        match read {
            Err(fault) if !refused => ledger.fault(fault),
            other => other,
        }
    }

    /// Everything read, with owned objects counted once.
    pub fn finish(self, ledger: &mut Ledger) -> Cluster {
        let mut fleet = Fleet::default();
        let mut homes = BTreeMap::new();
        for Pending { client, pod, replicas, node, owners } in self.pods {
            if owners.iter().any(|owner| self.controllers.contains(owner)) {
                ledger.skip(Skip::Owned, 1);
            } else if replicas == 1 {
                homes.extend(node.map(|node| (pod.name.clone(), node)));
                fleet.add(&client, pod, Lifetime::default());
            } else {
                ledger.skip(Skip::NoReplicas, u64::from(replicas == 0));
                for replica in 0..replicas {
                    let mut copy = pod.clone();
                    copy.name = format!("{}-{replica}", pod.name);
                    fleet.add(&client, copy, Lifetime::default());
                }
            }
        }
        let mut nodes = self.nodes;
        for node in &mut nodes {
            (node.fixed, node.fixed_pods) = self.fixed.get(&node.name).copied().unwrap_or_default();
        }
        Cluster { fleet, daemons: self.daemons.into_values().collect(), nodes, homes }
    }

    fn object(&mut self, document: &Document, ledger: &mut Ledger) -> Result<(), Fault> {
        self.add(document, ledger).or_else(|fault| ledger.fault(fault))
    }

    fn add(&mut self, document: &Document, ledger: &mut Ledger) -> Result<(), Fault> {
        ledger.row();
        let head: Head = document.parse()?;
        match head.kind.as_str() {
            "Pod" => self.bare_pod(document, ledger),
            "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController" => {
                let object: Object<ReplicaSpec> = document.parse()?;
                let replicas = object.spec.replicas.unwrap_or(1);
                self.workload(document, &head, replicas, &object.spec.template, ledger)
            }
            "Job" => {
                let object: Object<JobSpec> = document.parse()?;
                self.workload(document, &head, object.spec.at_once(), &object.spec.template, ledger)
            }
            "CronJob" => {
                let spec = document.parse::<Object<CronJobSpec>>()?.spec;
                let run = spec.job_template.spec;
                let runs = if spec.suspend == Some(true) { 0 } else { run.at_once() };
                self.workload(document, &head, runs, &run.template, ledger)
            }
            "DaemonSet" => {
                let object: Object<ReplicaSpec> = document.parse()?;
                let namespace = pod::namespace(&head.metadata);
                let Template { metadata, spec } = &object.spec.template;
                let pod = pod::planned(document, &head.metadata.name, &namespace, metadata, spec, ledger)?;
                self.daemons.insert((namespace, head.kind, head.metadata.name), pod);
                Ok(())
            }
            "Node" => {
                self.nodes.push(Node::read(document)?);
                Ok(())
            }
            "" => Err(document.unsupported("kind", "no value: is this a Kubernetes object?")),
            _ => {
                ledger.skip(Skip::OtherKind, 1);
                Ok(())
            }
        }
    }

    fn bare_pod(&mut self, document: &Document, ledger: &mut Ledger) -> Result<(), Fault> {
        let PodObject { metadata, mut spec, status } = document.parse()?;
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            ledger.skip(Skip::Ended, 1);
            return Ok(());
        }
        let namespace = pod::namespace(&metadata);
        let name = if metadata.name.is_empty() { &metadata.generate_name } else { &metadata.name };
        let owners = owners(&metadata, &namespace);
        let daemon = owners.iter().find(|owner| owner.1 == "DaemonSet");
        let selector = &mut spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution;
        if let Some(selector) = selector.as_mut().filter(|_| daemon.is_some()) {
            selector.forget_nodes();
        }
        let pod = pod::planned(document, name, &namespace, &metadata, &spec, ledger)?;
        if let Some(daemon) = daemon {
            self.daemons.entry(daemon.clone()).or_insert(pod);
            ledger.skip(Skip::Daemon, 1);
            return Ok(());
        }
        if let Some((_, _, node)) = owners.iter().find(|owner| owner.1 == "Node") {
            let (taken, count) = self.fixed.entry(node.clone()).or_default();
            *taken += pod.request();
            *count += 1;
            ledger.skip(Skip::Static, 1);
            return Ok(());
        }
        let client = self.client(&pod, &namespace);
        let node = spec.node_name.filter(|node| !node.is_empty());
        self.pods.push(Pending { client, pod, replicas: 1, node, owners });
        Ok(())
    }

    fn workload(
        &mut self,
        document: &Document,
        head: &Head,
        replicas: u32,
        template: &Template,
        ledger: &mut Ledger,
    ) -> Result<(), Fault> {
        if replicas > MAX_REPLICAS {
            let message =
                format!("{replicas} replicas are more than {MAX_REPLICAS}, the most that is believed");
            return Err(document.unsupported("spec.replicas", message));
        }
        let namespace = pod::namespace(&head.metadata);
        let Template { metadata, spec } = template;
        let pod = pod::planned(document, &head.metadata.name, &namespace, metadata, spec, ledger)?;
        let owners = owners(&head.metadata, &namespace);
        let client = self.client(&pod, &namespace);
        self.controllers.insert((namespace, head.kind.clone(), head.metadata.name.clone()));
        self.pods.push(Pending { client, pod, replicas, node: None, owners });
        Ok(())
    }

    fn client(&self, pod: &Pod, namespace: &str) -> String {
        match &self.payer {
            Payer::Cluster => "cluster".to_owned(),
            Payer::Namespace => namespace.to_owned(),
            Payer::Label(key) => pod.labels.get(key).cloned().unwrap_or_else(|| NOBODY.to_owned()),
        }
    }
}

impl JobSpec {
    /// Pods of one run that are there at the same time.
    fn at_once(&self) -> u32 {
        let parallelism = self.parallelism.unwrap_or(1);
        if self.suspend == Some(true) {
            0
        } else {
            self.completions.map_or(parallelism, |all| all.min(parallelism))
        }
    }
}

/// The controller that made an object and, for a Deployment's pods, the Deployment, whose ReplicaSet is often not shown.
fn owners(metadata: &Metadata, namespace: &str) -> Vec<Name> {
    let Some(owner) = metadata.owner_references.iter().find(|owner| owner.controller != Some(false)) else {
        return Vec::new();
    };
    let named = |kind: &str, name: &str| (namespace.to_owned(), kind.to_owned(), name.to_owned());
    let mut owners = vec![named(&owner.kind, &owner.name)];
    let hash = metadata.labels.get("pod-template-hash").map(|hash| format!("-{}", hash.0));
    if let Some(deployment) = hash.and_then(|hash| owner.name.strip_suffix(&hash)) {
        owners.push(named("Deployment", deployment));
    }
    owners
}

/// The first byte that is no blank, left unread.
fn first_byte(input: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        match buffer.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(index) => return Ok(Some(buffer[index])),
            // Blank lines before a manifest are YAML's; the parser counts its lines from the next byte on.
            None => {
                let length = buffer.len();
                input.consume(length);
            }
        }
    }
}

#[cfg(test)]
mod tests;
