//! All clients of one input, with the time each pod is there.

use nestless_placement::{Client, Pod};
use std::collections::HashMap;

/// From when until when a pod is there, in microseconds of the trace's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime {
    /// First moment.
    pub arrives_us: u64,
    /// First moment without it; `None` when it outlives the input.
    pub departs_us: Option<u64>,
}

impl Lifetime {
    /// Whether the pod is there at `instant_us`.
    pub fn covers(self, instant_us: u64) -> bool {
        self.arrives_us <= instant_us && self.departs_us.is_none_or(|end| instant_us < end)
    }
}

/// Clients in order of first appearance; pods in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    clients: Vec<Client>,
    lifetimes: Vec<Vec<Lifetime>>,
    by_name: HashMap<String, usize>,
}

impl Fleet {
    /// Adds a pod to its client.
    pub fn add(&mut self, client: &str, pod: Pod, lifetime: Lifetime) {
        let index = match self.by_name.get(client) {
            Some(&index) => index,
            None => {
                self.by_name.insert(client.to_owned(), self.clients.len());
                self.clients.push(Client { name: client.to_owned(), pods: Vec::new() });
                self.lifetimes.push(Vec::new());
                self.clients.len() - 1
            }
        };
        self.clients[index].pods.push(pod);
        self.lifetimes[index].push(lifetime);
    }

    /// Who pays.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// When the pods of client `index` are there, in the order of its pods.
    pub fn lifetimes(&self, index: usize) -> &[Lifetime] {
        &self.lifetimes[index]
    }

    /// Pods of all clients.
    pub fn pods(&self) -> usize {
        self.clients.iter().map(|client| client.pods.len()).sum()
    }

    /// Containers of all pods.
    pub fn containers(&self) -> usize {
        self.clients.iter().flat_map(|client| &client.pods).map(|pod| pod.containers.len()).sum()
    }
}
