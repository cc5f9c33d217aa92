//! What a shell is offered where a name of something that lives is wanted: labs, VMs, pods, groups. The shell calls this
//! program with the words so far; a daemon that does not answer at once offers nothing.

use crate::{operator::Daemon, report::Status};
use clap_complete::engine::CompletionCandidate;
use nestless_lab::LabName;
use nestless_proto::{ListGroupsRequest, StatusRequest};
use nestless_support::visible;
use std::time::Duration;

/// A person waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// As `nestless lab` does without `--name`.
const DEFAULT_LAB: &str = "lab";

/// Labs of this machine.
pub(crate) fn labs() -> Vec<CompletionCandidate> {
    let labs = nestless_lab::list().unwrap_or_default();
    labs.into_iter().map(|lab| candidate(lab.lab.as_str(), lab.condition)).collect()
}

/// VMs of the lab or daemon that the words are about; of a lab, its host too.
pub(crate) fn vms() -> Vec<CompletionCandidate> {
    let words = Words::typed();
    if !words.are_of_a_lab() {
        let status = status(&words).into_iter().flat_map(|status| status.vms);
        return status.map(|vm| candidate(&vm.name, &vm.state)).collect();
    }
    let labs = nestless_lab::list().unwrap_or_default();
    let state = labs.into_iter().find(|lab| Some(&lab.lab) == words.lab().as_ref()).and_then(|lab| lab.state);
    let vms = state.into_iter().flat_map(|state| state.vms);
    vms.map(|vm| candidate(vm.name.as_str(), "VM"))
        .chain(words.contain("exec").then(|| candidate(nestless_lab::HOST, "the lab's host")))
        .collect()
}

/// Containers that have a NIC, of the VM that was named before, if one was.
pub(crate) fn containers() -> Vec<CompletionCandidate> {
    let words = Words::typed();
    let vms = status(&words).map(|status| status.vms).unwrap_or_default();
    let named = vms.iter().any(|vm| words.contain(&vm.name));
    let nics = vms.iter().filter(|vm| !named || words.contain(&vm.name));
    let found = nics.flat_map(|vm| vm.nics.iter().map(move |nic| (vm, nic)));
    let mut found: Vec<_> = found
        .filter_map(|(vm, nic)| Some((nic.attachment.as_ref()?.container_id.clone(), vm.name.clone())))
        .collect();
    found.sort();
    found.dedup();
    found.retain(|(container, _)| is_plain(container));
    found.into_iter().map(|(container, vm)| candidate(&container, &format!("in VM {vm}"))).collect()
}

/// What `nestless trace` takes.
pub(crate) fn pods() -> Vec<CompletionCandidate> {
    let vms = status(&Words::typed()).map(|status| status.vms).unwrap_or_default();
    let mut found = Vec::new();
    for (vm, nic) in vms.iter().flat_map(|vm| vm.nics.iter().map(move |nic| (vm, nic))) {
        let name = match (&nic.membership, &nic.pod, &nic.attachment) {
            (Some(member), ..) => format!("loopback:{}/{}", member.group, member.fraction),
            (_, Some(pod), _) if !pod.name.is_empty() => format!("{}/{}", pod.namespace, pod.name),
            (.., Some(id)) => id.container_id.clone(),
            _ => continue,
        };
        found.push((name, vm.name.clone()));
    }
    found.sort();
    found.dedup();
    found.retain(|(pod, _)| is_plain(pod));
    found.into_iter().map(|(pod, vm)| candidate(&pod, &format!("in VM {vm}"))).collect()
}

/// Loopback groups.
pub(crate) fn groups() -> Vec<CompletionCandidate> {
    let groups = asked(&Words::typed(), async |mut client| {
        client.list_groups(ListGroupsRequest {}).await.ok().map(tonic::Response::into_inner)
    });
    let groups = groups.into_iter().flat_map(|answer| answer.groups);
    groups.filter(|group| is_plain(&group.name)).map(|group| candidate(&group.name, "group")).collect()
}

fn candidate(name: &str, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(help.to_owned().into()))
}

/// A guest's word that a terminal would not show as it is does not go to one.
fn is_plain(name: &str) -> bool {
    visible::in_text(name) == name
}

fn status(words: &Words) -> Option<Status> {
    asked(words, async |mut client| {
        client.status(StatusRequest {}).await.ok().map(|answer| Status::from(answer.into_inner()))
    })
}

type Client = nestless_proto::operator_client::OperatorClient<tonic::transport::Channel>;

fn asked<T>(words: &Words, question: impl AsyncFnOnce(Client) -> Option<T>) -> Option<T> {
    let daemon = words.daemon();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let answer = async { question(daemon.connect().await.ok()?).await };
        tokio::time::timeout(PATIENCE, answer).await.ok()?
    })
}

/// The words of the command line that is being typed.
struct Words(Vec<String>);

impl Words {
    fn typed() -> Self {
        // Behind "--" come the words as the shell has them.
        Self(std::env::args().skip_while(|word| word != "--").skip(1).collect())
    }

    fn contain(&self, word: &str) -> bool {
        self.0.iter().any(|found| found == word)
    }

    fn are_of_a_lab(&self) -> bool {
        self.0.get(1).is_some_and(|word| word == "lab")
    }

    fn value_of(&self, flag: &str) -> Option<&str> {
        let position = self.0.iter().position(|word| word == flag);
        let apart = position.and_then(|position| self.0.get(position + 1));
        let joined = || self.0.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
        apart.map(String::as_str).or_else(joined)
    }

    fn lab(&self) -> Option<LabName> {
        let name = if self.are_of_a_lab() {
            self.value_of("--name").unwrap_or(DEFAULT_LAB)
        } else {
            self.value_of("--lab")?
        };
        LabName::new(name).ok()
    }

    fn daemon(&self) -> Daemon {
        Daemon::chosen(self.value_of("--socket"), self.lab().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        Words(line.split(' ').map(ToOwned::to_owned).collect())
    }

    #[test]
    fn the_words_say_whom_to_ask() {
        let lab = |line: &str| words(line).lab().map(|name| name.as_str().to_owned());
        assert_eq!(lab("nestless lab exec --name small "), Some("small".into()));
        assert_eq!(lab("nestless lab exec --name=small "), Some("small".into()));
        assert_eq!(lab("nestless lab exec "), Some("lab".into()));
        assert_eq!(lab("nestless trace --lab x "), Some("x".into()));
        assert_eq!(lab("nestless trace "), None);
        assert_eq!(lab("nestless trace --lab no/lab "), None);
        let path = |line: &str| words(line).daemon().path().display().to_string();
        assert_eq!(path("nestless trace --lab x "), "/run/nestless/lab/x/run/nestlessd.sock");
        assert_eq!(path("nestless trace --socket /s "), "/s");
        assert_eq!(path("nestless trace "), "/run/nestless/nestlessd.sock");
    }
}
