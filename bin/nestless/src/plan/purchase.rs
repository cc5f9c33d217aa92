//! What can be bought, what VMs keep for themselves, and the hosts below them.

use super::input::Input;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use nestless_placement::{Catalogue, Resources};
use nestless_plan::catalogue::{
    CatalogueError, Hosts, Offer, Reserve, ZONE, builtin, names, read_csv, read_toml,
};
use nestless_plan::read::Quantity;
use nestless_plan::today::node_sizes;
use std::collections::BTreeSet;
use std::path::Path;

/// The name of the catalogue that is the cluster's own nodes.
const NODES: &str = "nodes";

#[derive(Debug, clap::Args)]
pub(super) struct Purchase {
    /// What can be bought: a built-in price list (m5, m5-2019, c5, r5, m6i, m7i, c7i, r7i, n2, dsv5, esv5), a file ending in
    /// .toml or .csv, or `nodes`: the nodes in a Kubernetes input, and no others.
    #[arg(long, value_name = "NAME|FILE", default_value = "m5")]
    catalogue: String,
    /// Zones that every size can be bought in, for pods that are spread over them: the zones of the input's nodes by default.
    #[arg(long, value_name = "ZONE", value_delimiter = ',')]
    zones: Vec<String>,
    /// What a VM keeps for itself beside DaemonSets. With --kubernetes the default is that of the catalogue's provider (eks
    /// for your own), otherwise none.
    #[arg(long, value_enum)]
    reserve: Option<Kept>,
    /// CPU that every VM keeps, such as 100m, instead of --reserve.
    #[arg(long, value_name = "QUANTITY", requires = "reserve_memory", conflicts_with = "reserve")]
    reserve_cpu: Option<Quantity>,
    /// Memory that every VM keeps, such as 500Mi.
    #[arg(long, value_name = "QUANTITY", requires = "reserve_cpu")]
    reserve_memory: Option<Quantity>,
    /// Whether a VM's limits on pods and NICs count. `auto` ignores them for the Google trace only.
    #[arg(long, value_enum, default_value_t)]
    pod_limits: PodLimits,
    /// CPU of a physical host: VMs that share split pods fit one together. Without it, all VMs of a client are on one host.
    #[arg(long, value_name = "QUANTITY", requires = "host_memory")]
    host_cpu: Option<Quantity>,
    /// Memory of a physical host.
    #[arg(long, value_name = "QUANTITY", requires = "host_cpu")]
    host_memory: Option<Quantity>,
    /// How many physical hosts there are. A plan that needs more is refused, or with --lenient told.
    #[arg(long, value_name = "COUNT", requires = "host_cpu")]
    host_count: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kept {
    None,
    /// As nodes of Amazon EKS.
    Eks,
    /// As nodes of Google GKE.
    Gke,
    /// As nodes of Azure AKS.
    Aks,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PodLimits {
    #[default]
    Auto,
    Keep,
    Ignore,
}

/// What was decided on.
#[derive(Debug)]
pub(super) struct Bought {
    pub(super) offer: Offer,
    /// The sizes, with what each keeps.
    pub(super) catalogue: Catalogue,
    /// The machines below the VMs, where they are known.
    pub(super) hosts: Option<Hosts>,
}

impl Purchase {
    /// The price list; `None` for the cluster's own nodes, which are not read yet.
    pub(super) fn offer(&self) -> anyhow::Result<Option<Offer>> {
        if self.catalogue == NODES { Ok(None) } else { offer(&self.catalogue).map(Some) }
    }

    /// Decides, and adds to the input's assumptions what follows.
    pub(super) fn decide(&self, offer: Option<Offer>, input: &mut Input) -> anyhow::Result<Bought> {
        let (offer, catalogue) = match offer {
            None => self.nodes(input)?,
            Some(offer) => {
                let offer = if input.is_cluster() { self.labelled(offer, input) } else { offer };
                let catalogue = self.sizes(&offer, input)?;
                (offer, catalogue)
            }
        };
        let ignored = match self.pod_limits {
            PodLimits::Auto => input.is_google(),
            PodLimits::Keep => false,
            PodLimits::Ignore => true,
        };
        if ignored {
            let words = "a VM holds any number of pods and NICs (--pod-limits keep counts them)";
            input.assumptions.push(words.into());
        }
        let catalogue = if ignored { catalogue.without_pod_limits() } else { catalogue };
        let hosts = match (self.host_cpu, self.host_memory) {
            (Some(cpu), Some(memory)) => {
                Some(Hosts { count: self.host_count, size: resources(cpu, memory)?, price: None })
            }
            _ => offer.hosts,
        };
        if hosts.is_some_and(|hosts| hosts.count.is_some()) {
            let words = "hosts are filled with the largest VMs first; another order might need fewer";
            input.assumptions.push(words.into());
        }
        Ok(Bought { offer, catalogue, hosts })
    }

    /// The cluster's own nodes.
    fn nodes(&self, input: &mut Input) -> anyhow::Result<(Offer, Catalogue)> {
        if input.nodes.is_empty() {
            bail!(
                "no node is in the input: give --kubernetes what `kubectl get pods,nodes -A -o json` prints"
            );
        }
        if self.reserve.is_some() || self.reserve_cpu.is_some() {
            bail!("nodes tell themselves what they keep: leave out --reserve");
        }
        let pods = input.fleet.clients().iter().flat_map(|client| &client.pods);
        let sizes = node_sizes(&input.nodes, pods.chain(&input.daemons));
        let catalogue = sizes.offer.catalogue(Reserve::None, &input.daemons)?;
        input.assumptions.push(format!(
            "only the cluster's own {} nodes can be used, in {} sizes",
            input.nodes.len(),
            sizes.offer.sizes.len()
        ));
        input.assumptions.push(
            if sizes.is_priced {
                "nodes cost what built-in price lists give for their instance types"
            } else {
                "the price of some node is not known, so that every node costs 1: costs are numbers of nodes"
            }
            .into(),
        );
        Ok((sizes.offer, catalogue))
    }

    /// Sizes with the labels of nodes; in zones only where some pod asks for one, since each zone has every size.
    fn labelled(&self, offer: Offer, input: &mut Input) -> Offer {
        if !input.asks_for(ZONE) || offer.sizes.iter().any(|size| size.labels.contains_key(ZONE)) {
            return offer.with_node_labels(&[]);
        }
        let mut zones = self.zones.clone();
        if zones.is_empty() {
            let of_nodes = input.nodes.iter().filter_map(|node| node.labels.get(ZONE));
            zones = of_nodes.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        }
        if !zones.is_empty() {
            input.assumptions.push(format!("every size can be bought in the zones {}", zones.join(", ")));
        }
        offer.with_node_labels(&zones)
    }

    /// What may have been forgotten, where no plan was found.
    pub(super) fn hint(&self, input: &Input) -> Option<&'static str> {
        (self.catalogue != NODES && self.zones.is_empty() && input.asks_for(ZONE))
            .then_some("no plan (pods ask for zones: --zones names those that VMs can be bought in)")
    }

    /// Sizes of a price list.
    fn sizes(&self, offer: &Offer, input: &mut Input) -> anyhow::Result<Catalogue> {
        let reserve = match (self.reserve, self.reserve_cpu, self.reserve_memory) {
            (_, Some(cpu), Some(memory)) => Reserve::Fixed(resources(cpu, memory)?),
            (Some(Kept::None), ..) => Reserve::None,
            (Some(Kept::Eks), ..) => Reserve::Eks,
            (Some(Kept::Gke), ..) => Reserve::Gke,
            (Some(Kept::Aks), ..) => Reserve::Aks,
            (None, ..) if input.is_cluster() => Reserve::of_provider(&offer.provider),
            (None, ..) => Reserve::None,
        };
        input.assumptions.push(match reserve {
            Reserve::None => "VMs keep nothing for kubelet, system and eviction".into(),
            Reserve::Eks => "VMs keep what nodes of Amazon EKS keep".into(),
            Reserve::Gke => "VMs keep what nodes of Google GKE keep".into(),
            Reserve::Aks => "VMs keep what nodes of Azure AKS keep".into(),
            Reserve::Fixed(kept) => format!("every VM keeps {kept} for itself"),
        });
        if !input.daemons.is_empty() {
            let count = input.daemons.len();
            input.assumptions.push(format!("every VM keeps room for the {count} DaemonSets that select it"));
        }
        if !input.nodes.is_empty() {
            let words = "all VMs are bought anew (--catalogue nodes plans with the cluster's own)";
            input.assumptions.push(words.into());
        }
        Ok(offer.catalogue(reserve, &input.daemons)?)
    }
}

/// A built-in price list, or a file's.
fn offer(name: &str) -> anyhow::Result<Offer> {
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str());
    match (builtin(name), extension) {
        (Some(offer), _) => Ok(offer),
        (None, Some("toml")) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
            Ok(read_toml(&text, name)?)
        }
        (None, Some("csv")) => {
            let file = std::fs::File::open(path).with_context(|| format!("open {name}"))?;
            Ok(read_csv(file, name)?)
        }
        _ => {
            let known = names().chain([NODES]).collect::<Vec<_>>().join(", ");
            Err(CatalogueError::Unknown { name: name.to_owned(), known }.into())
        }
    }
}

fn resources(cpu: Quantity, memory: Quantity) -> anyhow::Result<Resources> {
    let cpu_milli = cpu.milli_ceil().with_context(|| format!("{cpu} is no amount of CPU"))?;
    let memory_bytes = memory.ceil().with_context(|| format!("{memory} is no amount of memory"))?;
    Ok(Resources { cpu_milli, memory_bytes })
}
