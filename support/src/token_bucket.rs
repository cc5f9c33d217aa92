//! A token bucket at a link's root: what leaves by the link waits for its turn in a queue (the queueing discipline tbf).

use crate::clsact::{request::ask, signed};
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REPLACE, Nla as _, NlasIterator,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle, TcMessage, TcOption, TcStats2},
};
use std::{collections::BTreeMap, io};

const KIND: &str = "tbf";
/// "NL", so that an operator's own is not taken for ours.
const HANDLE: u32 = 0x4e4c_0000;
/// `TCA_TBF_PARMS`, `TCA_TBF_RATE64` and `TCA_TBF_BURST` (linux/pkt_sched.h).
const PARAMETERS: u16 = 1;
const RATE: u16 = 4;
const BURST: u16 = 6;
/// struct tc_tbf_qopt: two of struct tc_ratespec, the limit, the burst in ticks, and the peak rate's largest packet.
const PARAMETERS_BYTES: usize = 2 * RATE_BYTES + 12;
const RATE_BYTES: usize = 12;
/// `TC_LINKLAYER_ETHERNET`: the kernel calculates, instead of looking a table up that it would have to be given.
const ETHERNET: u8 = 1;

/// What a bucket holds and lets out. Bytes are those of whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// The rate in the long term.
    pub bytes_per_second: u64,
    /// How much may go at once. A frame that is larger never goes.
    pub burst_bytes: u32,
    /// How much may wait; what comes when so much waits is dropped.
    pub queue_bytes: u32,
}

/// What is seen of a bucket. How large it is, the kernel tells only as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The rate in the long term.
    pub bytes_per_second: u64,
    /// How much may wait.
    pub queue_bytes: u32,
    /// Frames dropped since it was made.
    pub dropped: u32,
}

/// Puts a bucket at the root of a link, in place of whatever discipline is there. One of ours is changed, and what waits in it
/// stays. Acts in the calling thread's network namespace.
///
/// # Errors
/// When there is no such link, or the kernel refuses, as one without `sch_tbf` does (ENOENT).
pub fn set(link: &str, bucket: &TokenBucket) -> io::Result<()> {
    let mut request = root(nix::net::if_::if_nametoindex(link)?)?;
    let options = [
        DefaultNla::new(PARAMETERS, parameters(bucket)),
        DefaultNla::new(RATE, bucket.bytes_per_second.to_ne_bytes().to_vec()),
        DefaultNla::new(BURST, bucket.burst_bytes.to_ne_bytes().to_vec()),
    ];
    request.attributes = vec![
        TcAttribute::Kind(KIND.to_owned()),
        TcAttribute::Options(options.into_iter().map(TcOption::Other).collect()),
    ];
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    ask(RouteNetlinkMessage::NewQueueDiscipline(request), flags).map(drop)
}

/// Our bucket at a link's root, if there is one. Asks for this link only: where there are many, [`all`] of them are much.
///
/// # Errors
/// When there is no such link, or the kernel cannot be asked.
pub fn get(ifindex: u32) -> io::Result<Option<Seen>> {
    let mut request = TcMessage::with_index(signed(ifindex)?);
    request.header.parent = TcHandle::ROOT;
    // The kernel tells it as news of the traffic control's group, and whoever asks only by echo; an acknowledgement comes also of a
    // link without a discipline.
    let told = ask(RouteNetlinkMessage::GetQueueDiscipline(request), NLM_F_ACK | NLM_F_ECHO)?;
    Ok(told.iter().find(|qdisc| is_ours(qdisc)).and_then(read))
}

/// All buckets of ours, by the index of their link. Acts in the calling thread's network namespace.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn all() -> io::Result<BTreeMap<u32, Seen>> {
    let all = ask(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()), NLM_F_DUMP)?;
    let seen = all.iter().filter(|qdisc| is_ours(qdisc)).filter_map(|qdisc| {
        let index = u32::try_from(qdisc.header.index).ok()?;
        Some((index, read(qdisc)?))
    });
    Ok(seen.collect())
}

/// Takes our bucket off a link, with what waits in it; succeeds when there is none.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn clear(link: &str) -> io::Result<()> {
    let ifindex = nix::net::if_::if_nametoindex(link)?;
    if get(ifindex)?.is_some() {
        ask(RouteNetlinkMessage::DelQueueDiscipline(root(ifindex)?), NLM_F_ACK)?;
    }
    Ok(())
}

fn root(ifindex: u32) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(signed(ifindex)?);
    message.header.parent = TcHandle::ROOT;
    message.header.handle = HANDLE.into();
    Ok(message)
}

fn is_ours(qdisc: &TcMessage) -> bool {
    qdisc.header.parent == TcHandle::ROOT && u32::from(qdisc.header.handle) == HANDLE
}

fn parameters(bucket: &TokenBucket) -> Vec<u8> {
    let mut bytes = vec![0; PARAMETERS_BYTES];
    bytes[1] = ETHERNET;
    // The smaller of two that the kernel takes the greater of; the other is in an attribute of its own.
    let rate = u32::try_from(bucket.bytes_per_second).unwrap_or(u32::MAX);
    bytes[RATE_BYTES - 4..RATE_BYTES].copy_from_slice(&rate.to_ne_bytes());
    bytes[2 * RATE_BYTES..2 * RATE_BYTES + 4].copy_from_slice(&bucket.queue_bytes.to_ne_bytes());
    bytes
}

fn read(qdisc: &TcMessage) -> Option<Seen> {
    let mut kind_is_ours = false;
    let mut seen = Seen { bytes_per_second: 0, queue_bytes: 0, dropped: 0 };
    for attribute in &qdisc.attributes {
        match attribute {
            TcAttribute::Kind(kind) => kind_is_ours = kind == KIND,
            TcAttribute::Options(options) => {
                options.iter().for_each(|option| read_options(option, &mut seen))
            }
            TcAttribute::Stats2(stats) => {
                for stat in stats {
                    if let TcStats2::Queue(queue) = stat {
                        seen.dropped = queue.drops;
                    }
                }
            }
            _ => {}
        }
    }
    kind_is_ours.then_some(seen)
}

/// The crate knows nothing of this kind, and leaves its options as one piece.
fn read_options(option: &TcOption, seen: &mut Seen) {
    let TcOption::Other(whole) = option else { return };
    let mut bytes = vec![0; whole.value_len()];
    whole.emit_value(&mut bytes);
    for attribute in NlasIterator::new(bytes.as_slice()).flatten() {
        let value = attribute.value();
        match (attribute.kind(), value.len()) {
            (PARAMETERS, PARAMETERS_BYTES..) => {
                let number = |at: usize| value[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
                seen.bytes_per_second = seen.bytes_per_second.max(number(RATE_BYTES - 4).into());
                seen.queue_bytes = number(2 * RATE_BYTES);
            }
            (RATE, 8..) => {
                seen.bytes_per_second = value[..8].try_into().map_or(0, u64::from_ne_bytes);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{netlink::Netlink, netns::Namespace};

    #[tokio::test]
    async fn a_bucket_is_set_changed_seen_and_taken_away() {
        let namespace = Namespace::anonymous().unwrap();
        let netlink = Netlink::inside(&namespace).await.unwrap();
        let index = netlink.create_queue("d0").await.unwrap().index;
        namespace
            .run(move || {
                let get = || {
                    let seen = all().unwrap().remove(&index);
                    assert_eq!(super::get(index).unwrap(), seen);
                    seen
                };
                assert_eq!(get(), None);
                // Ten gigabytes a second do not fit the old 32 bits.
                for bytes_per_second in [1_000, 126_166, 10_000_000_000] {
                    let bucket = TokenBucket { bytes_per_second, burst_bytes: 20_000, queue_bytes: 90_000 };
                    set("d0", &bucket).unwrap();
                    let seen = Seen { bytes_per_second, queue_bytes: 90_000, dropped: 0 };
                    assert_eq!(get(), Some(seen));
                }
                clear("d0").unwrap();
                clear("d0").unwrap();
                let get = || all().unwrap().remove(&index);
                assert_eq!(get(), None);
                let nobody = set("d1", &TokenBucket { bytes_per_second: 1, burst_bytes: 1, queue_bytes: 1 });
                assert_eq!(nobody.unwrap_err().raw_os_error(), Some(libc::ENODEV));
            })
            .await
            .unwrap();
    }
}
