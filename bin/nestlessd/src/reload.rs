//! A new configuration while the daemon runs: VMs come and go, all else waits for a restart.

use crate::config::Config;
use nestless_model::identity::VmName;

/// What a new configuration changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Are there no more, and new ones.
    pub(crate) removed: Vec<VmName>,
    pub(crate) added: Vec<VmName>,
    /// Are there in another form: their tasks end and begin anew, as after a restart.
    pub(crate) changed: Vec<VmName>,
    /// Those of them that call in another way.
    pub(crate) moved: Vec<VmName>,
}

/// The daemon must be restarted for it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} can be changed by a restart only: `systemctl restart nestlessd`, through which pods keep their NICs",
    what.join(", ")
)]
pub(crate) struct NeedsRestart {
    what: Vec<&'static str>,
}

/// Compares two configurations that are right in themselves.
pub(crate) fn plan(old: &Config, new: &Config) -> Result<Plan, NeedsRestart> {
    let parts = [
        ("state_dir, run_dir, pin_dir and host_id", old.host != new.host),
        ("[[network]]", old.networks != new.networks),
        ("[tls]", old.tls != new.tls),
    ];
    let what: Vec<_> = parts.into_iter().filter_map(|(part, differs)| differs.then_some(part)).collect();
    if !what.is_empty() {
        return Err(NeedsRestart { what });
    }
    let mut plan = Plan::default();
    plan.removed.extend(old.vms.iter().filter(|vm| new.vm(&vm.name).is_none()).map(|vm| vm.name.clone()));
    for vm in &new.vms {
        match old.vm(&vm.name) {
            None => plan.added.push(vm.name.clone()),
            Some(before) if before == vm => {}
            Some(before) => {
                plan.changed.push(vm.name.clone());
                if before.channel != vm.channel {
                    plan.moved.push(vm.name.clone());
                }
            }
        }
    }
    Ok(plan)
}

impl Plan {
    /// Whose tasks end.
    pub(crate) fn ending(&self) -> impl Iterator<Item = &VmName> {
        self.removed.iter().chain(&self.changed)
    }

    /// Whose tasks begin.
    pub(crate) fn beginning(&self) -> impl Iterator<Item = &VmName> {
        self.added.iter().chain(&self.changed)
    }

    /// Whose channels end.
    pub(crate) fn closing(&self) -> impl Iterator<Item = &VmName> {
        self.removed.iter().chain(&self.moved)
    }

    /// Whose channels begin.
    pub(crate) fn opening(&self) -> impl Iterator<Item = &VmName> {
        self.added.iter().chain(&self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(vms: &[(&str, &str)]) -> Config {
        let network =
            "[[network]]\nname = \"pods\"\nbridge = \"br0\"\nsubnets = [{ prefix = \"10.0.0.0/16\" }]\n";
        let vms = vms.iter().map(|(name, keys)| {
            format!("[[vm]]\nname = \"{name}\"\nhypervisor = {{ qemu = {{ qmp = \"/{name}\" }} }}\n{keys}\n")
        });
        Config::parse(Path::new("test"), &(network.to_owned() + &vms.collect::<String>())).unwrap()
    }

    fn names<'a>(vms: impl IntoIterator<Item = &'a VmName>) -> Vec<&'a str> {
        vms.into_iter().map(VmName::as_str).collect()
    }

    #[test]
    fn who_comes_goes_changes_and_stays() {
        let channel = |cid: u32| format!("channel = {{ vsock-cid = {cid} }}");
        let (stays, goes, grows, moves) = (channel(3), channel(4), channel(5), channel(6));
        let old = config(&[("stays", &stays), ("goes", &goes), ("grows", &grows), ("moves", &moves)]);
        let grows = format!("{grows}\nnic_limit = 9");
        let new = config(&[("comes", &goes), ("moves", &channel(7)), ("grows", &grows), ("stays", &stays)]);
        let plan = plan(&old, &new).unwrap();
        assert_eq!((names(&plan.added), names(&plan.removed)), (vec!["comes"], vec!["goes"]));
        assert_eq!((names(&plan.changed), names(&plan.moved)), (vec!["moves", "grows"], vec!["moves"]));
        assert_eq!(names(plan.closing()), ["goes", "moves"]);
        assert_eq!(names(plan.opening()), ["comes", "moves"]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let (old, mut new) = (config(&[]), config(&[]));
        assert_eq!(plan(&old, &new), Ok(Plan::default()));
        new.networks[0].cool_down_s += 1;
        new.host.host_id = Some(7);
        let told = plan(&old, &new).unwrap_err().to_string();
        assert!(
            told.starts_with("state_dir, run_dir, pin_dir and host_id, [[network]] can be changed"),
            "{told}"
        );
    }
}
