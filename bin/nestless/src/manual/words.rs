//! What a page says beyond what clap knows: examples, and exit codes that differ.

/// Of one command.
pub(super) struct Words {
    /// As on the command line, without "nestless".
    command: &'static str,
    /// A command line, and what it does.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// In place of [`EXIT`]'s, where a code means something else.
    pub(super) exit: &'static [(&'static str, &'static str)],
}

/// What most commands end with.
pub(super) const EXIT: [(&str, &str); 3] = [
    ("0", "It is done."),
    ("1", "It failed, or was refused: standard error says why, and what to do."),
    ("2", "The command line is wrong."),
];
const INTERRUPTED: (&str, &str) = ("130", "It was interrupted, and has removed what it had made.");

/// Pages and their sections.
pub(super) const SEE_ALSO: [(&str, &str); 6] = [
    ("nestless", "1"),
    ("nestlessd", "8"),
    ("nestlessd.toml", "5"),
    ("nestless-agent", "8"),
    ("nestless-cni", "8"),
    ("nestless.conflist", "5"),
];

/// Of a command by its full name, "nestless lab up".
pub(super) fn of(name: &str) -> Option<&'static Words> {
    let command = name.strip_prefix("nestless").unwrap_or(name).trim();
    WORDS.iter().find(|words| words.command == command)
}

const fn words(command: &'static str, examples: &'static [(&'static str, &'static str)]) -> Words {
    Words { command, examples, exit: &[] }
}

const WORDS: &[Words] = &[
    words(
        "",
        &[
            ("nestless doctor", "What this host lacks, and the command that mends it."),
            ("nestless status", "VMs, NICs and addresses of the daemon on this host."),
            ("nestless lab demo", "All of it in VMs on this machine, removed at the end."),
        ],
    ),
    Words {
        command: "lab demo",
        examples: &[
            ("nestless lab demo", "Two VMs, pods in both, and traffic with and without a network in the VM."),
            ("nestless lab demo --split", "One pod in three VMs, on one localhost."),
            (
                "nestless lab demo --vmm namespace --keep",
                "With namespaces in the place of VMs, and left to be looked at.",
            ),
        ],
        exit: &[INTERRUPTED],
    },
    Words {
        command: "lab up",
        examples: &[
            ("nestless lab up", "A lab called \"lab\": two VMs, nestlessd, an agent in each."),
            (
                "nestless lab up --name small --vms 1 --vmm namespace",
                "One VM, which is a namespace: up in a moment.",
            ),
            ("nestless lab up --with tcpdump", "The VMs have tcpdump, as this machine has it."),
        ],
        exit: &[INTERRUPTED],
    },
    words(
        "lab down",
        &[
            ("nestless lab down --name small", "Remove it with all that is in it."),
            ("nestless lab down --all", "Remove every lab, and what crashed ones have left."),
        ],
    ),
    Words {
        command: "lab exec",
        examples: &[
            ("nestless lab exec vm1 -- ip address", "In a VM of the lab \"lab\"."),
            ("nestless lab exec vm1 --pod web -- ping -c 1 10.78.0.1", "In a pod of the VM."),
            ("nestless lab exec host -- bridge link", "On the lab's host."),
        ],
        exit: &[
            ("0", "The program ended with 0."),
            (
                "N",
                "The program's exit code, as a shell reports it: 128 and the number of the signal that ended it.",
            ),
        ],
    },
    words("lab ls", &[("nestless lab ls --json", "The labs of this machine, for a program.")]),
    words(
        "lab export-logs",
        &[
            (
                "nestless lab export-logs --name small",
                "Into small-logs.tar.gz here, also when the lab is broken.",
            ),
            ("nestless lab export-logs report.tar.gz", "Of the lab \"lab\", into that file."),
        ],
    ),
    words(
        "lab pod add",
        &[
            ("nestless lab pod add vm1 web", "A pod with a NIC of its own."),
            (
                "nestless lab pod add vm2 db --group shop --fraction db --size 3",
                "One part of a split pod, whose parts share localhost.",
            ),
        ],
    ),
    words("lab pod del", &[("nestless lab pod del vm1 web", "Remove it; its NIC is spare again.")]),
    words("lab pod ls", &[("nestless lab pod ls --name small", "The pods of every VM.")]),
    Words {
        command: "bench attach",
        examples: &[(
            "nestless bench attach --json attach.json",
            "What an ADD costs, with every sample in a file.",
        )],
        exit: &[INTERRUPTED],
    },
    Words {
        command: "bench nic",
        examples: &[(
            "nestless bench nic --html nic.html",
            "What a pod's way out costs, as a page with charts.",
        )],
        exit: &[INTERRUPTED],
    },
    Words {
        command: "bench loopback",
        examples: &[(
            "nestless bench loopback",
            "What a split pod's localhost costs, beside every usual way.",
        )],
        exit: &[INTERRUPTED],
    },
    Words {
        command: "bench bandwidth",
        examples: &[("nestless bench bandwidth", "How much of a limit a pod gets, one way and the other.")],
        exit: &[INTERRUPTED],
    },
    words(
        "bench compare",
        &[("nestless bench compare before.json after.json", "What two runs of one bench differ by.")],
    ),
    words(
        "status",
        &[
            ("nestless status", "Of the daemon on this host."),
            ("nestless status --wait", "Wait until every VM is ready, for at most a minute."),
            ("nestless status --lab small --json", "Of a lab's daemon, for a program."),
        ],
    ),
    words("vm ls", &[("nestless vm ls", "The VMs of the configuration, and what is amiss with each.")]),
    Words {
        command: "connectivity-test",
        examples: &[
            ("nestless connectivity-test", "In a VM: between two pods, and to their gateway."),
            ("nestless connectivity-test --outside 192.0.2.1:443", "And to a server outside of the host."),
        ],
        exit: &[("1", "A way does not work, or the pods could not be made."), INTERRUPTED],
    },
    words("loopback ls", &[("nestless loopback ls", "The groups, and who is in them.")]),
    words(
        "loopback show",
        &[("nestless loopback show shop", "Flows, open questions and counters of one group.")],
    ),
    words(
        "loopback release",
        &[("nestless loopback release shop db", "Free the name of a fraction whose VM will not let it go.")],
    ),
    Words {
        command: "trace",
        examples: &[
            ("nestless trace default/web", "From the pod to the uplink, by its name in Kubernetes."),
            ("nestless trace 10.78.1.0", "By its address."),
            ("nestless trace loopback:shop/db --lab small", "From a fraction's localhost."),
        ],
        exit: &[("1", "A device on the way is missing, or no such pod is known.")],
    },
    Words {
        command: "doctor",
        examples: &[("nestless doctor", "On the host."), ("nestless doctor --guest", "In the VM.")],
        exit: &[("1", "Something that is needed is missing.")],
    },
    words(
        "topology",
        &[
            ("nestless topology --nics 40 --vcpus 2", "Arguments to add to QEMU's."),
            ("nestless topology --nics 40 --vcpus 2 --format libvirt", "Elements for a libvirt domain."),
        ],
    ),
    words(
        "plan",
        &[
            (
                "nestless plan --kubernetes cluster.json --catalogue m5",
                "What `kubectl get pods,nodes -A -o json` printed.",
            ),
            (
                "nestless plan --csv pods.csv --html plan.html",
                "A table of containers; the plan as a page for a browser.",
            ),
        ],
    ),
    words("plan fetch", &[("nestless plan fetch google-2011 --to traces", "The first part of the trace.")]),
    words("plan bench", &[("nestless plan bench --pods 1000,2000", "How long planning takes.")]),
    Words {
        command: "reconcile",
        examples: &[("nestless reconcile", "Do not wait for the daemon's next look.")],
        exit: &[("1", "Something could not be mended; it is named.")],
    },
    words("release", &[("nestless release vm1 4f1c", "The pod with that container id, whose VM is lost.")]),
    Words {
        command: "uninstall",
        examples: &[
            ("nestless uninstall", "On a host: show what there is, and ask."),
            ("nestless uninstall --yes --cut-off", "Without asking, and whatever still runs."),
            ("nestless uninstall --guest", "In a VM."),
        ],
        exit: &[("1", "Something is in the way or could not be removed, or the answer was no.")],
    },
    words(
        "completion",
        &[(
            "nestless completion bash > /etc/bash_completion.d/nestless",
            "For every user's shell; packages bring it.",
        )],
    ),
    words("man", &[("nestless man /usr/local/share/man", "All pages; packages bring them.")]),
    words("schema", &[("nestless schema status", "What `nestless status --json` prints.")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::{CommandFactory as _, Parser as _};

    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        if children.is_empty() || !command.is_subcommand_required_set() {
            found.push(name.to_owned());
        }
        for child in children {
            leaves(child, format!("{name} {}", child.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_an_example_and_no_other_has() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        let without: Vec<_> =
            commands.iter().filter(|name| of(name).is_none_or(|words| words.examples.is_empty())).collect();
        assert!(without.iter().all(|name| name.is_empty()), "no example in manual/words.rs for: {without:?}");
        let stray: Vec<_> = WORDS.iter().map(|words| words.command).collect();
        let stray: Vec<_> =
            stray.iter().filter(|name| !name.is_empty() && !commands.iter().any(|c| c == *name)).collect();
        assert!(stray.is_empty(), "no such command: {stray:?}");
    }

    /// What a shell passes to the program: redirections and pipes are the shell's.
    fn parses(line: &str) -> Result<(), String> {
        let words =
            line.split_whitespace().take_while(|word| !matches!(*word, ">" | "|" | "#" | "&&" | "\\"));
        Cli::try_parse_from(words).map(drop).map_err(|error| format!("{line}: {error}"))
    }

    #[test]
    fn examples_are_command_lines() {
        for Words { command, examples, .. } in WORDS {
            for (line, _) in *examples {
                assert_eq!(parses(line), Ok(()));
                assert!(
                    line.starts_with(format!("nestless {command}").trim()),
                    "{line} is an example of {command}"
                );
            }
        }
    }

    /// Lines of shell in the documents that a reader is to type.
    #[test]
    fn documents_are_command_lines() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let files = std::fs::read_dir(format!("{folder}docs")).unwrap().map(|entry| entry.unwrap().path());
        let mut seen = 0;
        for file in files
            .chain([format!("{folder}README.md").into()])
            .filter(|path| path.extension().is_some_and(|e| e == "md"))
        {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut in_shell = false;
            for line in text.lines() {
                if let Some(fence) = line.trim().strip_prefix("```") {
                    in_shell = fence == "sh";
                } else if in_shell && line.trim().starts_with("nestless ") && !line.contains('\'') {
                    seen += 1;
                    assert_eq!(parses(line.trim()), Ok(()), "{}", file.display());
                }
            }
        }
        assert!(seen > 5, "only {seen} lines were found");
    }
}
