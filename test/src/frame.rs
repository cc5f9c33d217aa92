//! Ethernet frames, honest and forged, and the means to send them from a pod: raw, as its root user may.

use crate::PATIENCE;
use nestless_lab::{Exec, Exit, Lab, Piece, Pod, image::Program};
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::sync::mpsc;

/// Protocol numbers of IP.
pub const UDP: u8 = 17;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// To everybody on the bridge.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// Who sends, truly.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Its NIC's address.
    pub mac: [u8; 6],
    /// Its own.
    pub v4: Ipv4Addr,
    /// Its own.
    pub v6: Ipv6Addr,
}

/// An Ethernet frame to everybody.
pub fn ethernet(source: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&BROADCAST[..], &source, &ether_type.to_be_bytes(), payload].concat()
}

/// An ARP message (RFC 826): operation 1 asks, 2 answers.
pub fn arp(operation: u16, mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    [&head[..], &operation.to_be_bytes(), &mac, &sender.octets(), &[0; 6], &target.octets()].concat()
}

/// An IPv4 packet with UDP in it, to everybody.
pub fn udp4(source: Ipv4Addr, ports: (u16, u16), text: &[u8]) -> Vec<u8> {
    ipv4(source, Ipv4Addr::BROADCAST, UDP, &udp(ports, text))
}

/// An IPv4 packet.
pub fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("a short packet");
    let mut head = vec![0x45, 0];
    head.extend(length.to_be_bytes());
    head.extend([0, 7, 0, 0, 64, protocol, 0, 0]);
    head.extend(source.octets());
    head.extend(destination.octets());
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    [&head[..], payload].concat()
}

/// UDP without a checksum.
pub fn udp((from, to): (u16, u16), text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + text.len()).expect("a short packet");
    // A checksum of 0 is none.
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], text].concat()
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv6 packet to all nodes of the link.
pub fn ipv6(source: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![0x60, 0, 0, 0];
    head.extend(u16::try_from(payload.len()).expect("a short packet").to_be_bytes());
    head.extend([next, 255]);
    head.extend(source.octets());
    head.extend(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets());
    [&head[..], payload].concat()
}

/// The same with UDP in it.
pub fn udp6(source: Ipv6Addr, ports: (u16, u16), text: &[u8]) -> Vec<u8> {
    ipv6(source, UDP, &udp(ports, text))
}

/// A neighbour solicitation (135) or advertisement (136) about `target`, with a link-layer option (RFC 4861).
pub fn neighbour(kind: u8, target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let option = [&[if kind == 135 { 1 } else { 2 }, 1][..], &mac].concat();
    [&[kind, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), &option].concat()
}

/// A router advertisement (RFC 4861, section 4.2).
pub fn router_advertisement() -> Vec<u8> {
    [&[134, 0, 0, 0, 64, 0][..], &1800_u16.to_be_bytes(), &[0; 8]].concat()
}

/// What can be sent raw from a pod, and what can be heard in one.
pub struct Raw;

impl Raw {
    /// For [`nestless_lab::LabBuilder::own_program`].
    pub const PROGRAM: Program = Program::TestFrames;

    /// Sends frames, in order, from the pod's eth0, or from `link` in the VM's own namespace when there is no pod.
    ///
    /// # Panics
    /// When the kernel of the guest does not take them.
    pub async fn send(lab: &Lab, vm: &str, pod: Option<&str>, link: &str, frames: &[Vec<u8>]) {
        let lines: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
        let exec = Exec::new([Self::PROGRAM.name(), "send", link]).stdin(lines.join("\n"));
        let exec = match pod {
            Some(pod) => exec.in_pod(pod),
            None => exec,
        };
        let output = lab.exec(vm, &exec).await.expect("the sender runs");
        output.success("send frames").unwrap_or_else(|error| panic!("{error}"));
    }

    /// Listens in a pod while `act` runs, and until `last` was heard; returns everything heard before it.
    ///
    /// # Panics
    /// When `last` never comes.
    pub async fn heard(lab: &Lab, pod: &Pod, last: &[u8], act: impl AsyncFnOnce()) -> Vec<Vec<u8>> {
        let client = lab.vm(pod.vm.as_str()).expect("its VM").client().await.expect("the VM answers");
        let (lines, mut heard) = mpsc::unbounded_channel();
        let exec = Exec::new([Raw::PROGRAM.name(), "listen", "eth0"]).in_pod(&pod.name);
        let (stop, input) = mpsc::channel(1);
        let listening = tokio::spawn(async move {
            let mut rest = String::new();
            let exit = client.exec_streaming(&exec, input, |piece| {
                if let Piece::Stdout(bytes) = piece {
                    rest.push_str(&String::from_utf8_lossy(&bytes));
                    while let Some((line, after)) = rest.split_once('\n') {
                        // Nobody listens to us any more when the last frame has come.
                        let _ = lines.send(line.to_owned());
                        rest = after.to_owned();
                    }
                }
            });
            assert_eq!(exit.await.expect("the listener runs"), Exit::Code(0));
        });
        assert_eq!(heard.recv().await.as_deref(), Some("listening"));
        act().await;
        let mut frames = Vec::new();
        let collect = async {
            while let Some(line) = heard.recv().await {
                let frame = unhex(&line);
                if frame.starts_with(last) {
                    return;
                }
                frames.push(frame);
            }
            panic!("the listener ended early");
        };
        tokio::time::timeout(PATIENCE, collect).await.expect("the last frame comes");
        drop(stop);
        listening.await.expect("the listener ends");
        frames
    }
}

/// Two digits per byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes again.
///
/// # Panics
/// When the text is no such thing.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits per byte");
    (0..text.len() / 2).map(|byte| digit(byte * 2)).collect()
}
