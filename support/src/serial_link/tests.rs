//! Both ends of a link, over channels that lose and repeat bytes.

use super::*;
use crate::serial_link::frame::{Decoder, Frame, Kind};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

async fn pair(host: &mut SerialLink, guest: &mut SerialLink) -> (SerialStream, SerialStream) {
    let (accepted, connected) = tokio::join!(host.accept(), guest.connect());
    (accepted.unwrap(), connected.unwrap())
}

async fn exchange(a: &mut SerialStream, b: &mut SerialStream, bytes: &[u8]) {
    for _ in 0..2 {
        let mut received = vec![0; bytes.len()];
        let (sent, read) = tokio::join!(a.write_all(bytes), b.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert_eq!(received, bytes);
        let (sent, read) = tokio::join!(b.write_all(bytes), a.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert_eq!(received, bytes);
    }
}

/// The next frame that the link under test writes.
async fn frame_of(io: &mut (impl AsyncRead + Unpin), decoder: &mut Decoder, queue: &mut Vec<Frame>) -> Frame {
    while queue.is_empty() {
        let mut buffer = [0; 1024];
        let length = io.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "the link closed its channel");
        queue.extend(decoder.push(&buffer[..length]));
    }
    queue.remove(0)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_is_seen_behind_the_last_one() {
    let (host_io, guest_io) = duplex(100);
    let (mut host, mut guest) = (SerialLink::new(host_io), SerialLink::new(guest_io));
    let (mut accepted, mut connected) = pair(&mut host, &mut guest).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    exchange(&mut accepted, &mut connected, &bytes).await;
    connected.write_all(b"last words").await.unwrap();
    drop(connected);
    let mut rest = Vec::new();
    accepted.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last words");
    let (mut accepted, mut connected) = pair(&mut host, &mut guest).await;
    exchange(&mut accepted, &mut connected, b"again").await;
}

#[tokio::test(start_paused = true)]
async fn a_hello_is_repeated_until_welcomed_at_a_capped_interval() {
    let (mut host_io, guest_io) = duplex(10_000);
    let mut guest = SerialLink::new(guest_io);
    let connecting = tokio::spawn(async move {
        let stream = guest.connect().await;
        (guest, stream)
    });
    let (mut decoder, mut queue) = (Decoder::default(), Vec::new());
    let first = frame_of(&mut host_io, &mut decoder, &mut queue).await;
    assert_eq!(first.kind, Kind::Hello);
    let start = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(frame_of(&mut host_io, &mut decoder, &mut queue).await, first);
    }
    // 50, 100, 200, 400, 800, 1600 ms and 14 times the cap.
    assert_eq!(start.elapsed().as_millis(), 3150 + 14 * 2000);
    host_io.write_all(&Frame::control(Kind::Welcome, first.session).encode()).await.unwrap();
    let (_guest, stream) = connecting.await.unwrap();
    assert!(stream.is_ok());
}

#[tokio::test]
async fn a_new_host_knocks_and_the_guest_begins_anew() {
    let (mut wire, guest_io) = duplex(10_000);
    let mut guest = SerialLink::new(guest_io);
    let mut old_decoder = (Decoder::default(), Vec::new());
    let connected = async {
        let hello = frame_of(&mut wire, &mut old_decoder.0, &mut old_decoder.1).await;
        wire.write_all(&Frame::control(Kind::Welcome, hello.session).encode()).await.unwrap();
    };
    let (stream, ()) = tokio::join!(guest.connect(), connected);
    let mut old = stream.unwrap();
    // The first host dies in the middle of a frame; the second one knows of no session.
    wire.write_all(&Frame::data(1, 0, &[7; 100]).encode()[..50]).await.unwrap();
    let mut host = SerialLink::new(wire);
    let reconnect = async {
        let mut rest = Vec::new();
        old.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        guest.connect().await.unwrap()
    };
    let (accepted, mut connected) = tokio::join!(host.accept(), reconnect);
    exchange(&mut accepted.unwrap(), &mut connected, b"after the knock").await;
}

#[tokio::test]
async fn a_new_hello_supersedes_the_session_before_it() {
    let (host_io, mut wire) = duplex(10_000);
    let mut host = SerialLink::new(host_io);
    wire.write_all(&Frame::control(Kind::Hello, 1).encode()).await.unwrap();
    let mut first = host.accept().await.unwrap();
    wire.write_all(&Frame::data(1, 0, b"old").encode()).await.unwrap();
    wire.write_all(&Frame::control(Kind::Hello, 2).encode()).await.unwrap();
    wire.write_all(&Frame::data(1, 1, b"stale").encode()).await.unwrap();
    wire.write_all(&Frame::data(2, 0, b"new").encode()).await.unwrap();
    let mut second = host.accept().await.unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"old");
    let error = first.write_all(&[0; 100_000]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let mut new = [0; 3];
    second.read_exact(&mut new).await.unwrap();
    assert_eq!(&new, b"new");
}

#[tokio::test]
async fn a_lost_piece_ends_the_session_instead_of_corrupting_it() {
    let (host_io, mut wire) = duplex(10_000);
    let mut host = SerialLink::new(host_io);
    wire.write_all(&Frame::control(Kind::Hello, 1).encode()).await.unwrap();
    let mut stream = host.accept().await.unwrap();
    wire.write_all(&Frame::data(1, 0, b"one").encode()).await.unwrap();
    wire.write_all(&Frame::data(1, 2, b"three").encode()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"one");
    let (mut decoder, mut queue) = (Decoder::default(), Vec::new());
    let mut kinds = Vec::new();
    while kinds.last() != Some(&Kind::Reset) {
        kinds.push(frame_of(&mut wire, &mut decoder, &mut queue).await.kind);
    }
    assert_eq!(kinds, [Kind::Knock, Kind::Welcome, Kind::Reset]);
}

#[tokio::test]
async fn a_closed_channel_is_an_error_and_no_hang() {
    let (host_io, wire) = duplex(100);
    let mut host = SerialLink::new(host_io);
    drop(wire);
    // The knock and the read fail at the same time.
    let kind = host.accept().await.unwrap_err().kind;
    assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof), "{kind:?}");
    assert_eq!(host.accept().await.unwrap_err().kind, kind);
}

/// What a dead peer may have left on the wire: noise, whole frames, and the beginning of one.
fn leftovers() -> impl Strategy<Value = Vec<u8>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..6000);
    let kinds = prop_oneof![Just(Kind::Hello), Just(Kind::Welcome), Just(Kind::Reset)];
    let control = (kinds, any::<u64>()).prop_map(|(kind, session)| Frame::control(kind, session).encode());
    let data = (any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..4096))
        .prop_map(|(session, sequence, payload)| Frame::data(session, sequence, &payload).encode());
    (proptest::collection::vec(prop_oneof![noise, control, data], 0..5), any::<proptest::sample::Index>())
        .prop_map(|(pieces, cut)| {
            let mut bytes = pieces.concat();
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_a_dead_peer_left_breaks_the_next_session(
        to_host in leftovers(),
        to_guest in leftovers(),
        chunk in 1_usize..5000,
        payload in proptest::collection::vec(any::<u8>(), 1..20_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (host_io, mut guest_side) = duplex(chunk);
            let (guest_io, mut host_side) = duplex(chunk);
            let (mut host, mut guest) = (SerialLink::new(host_io), SerialLink::new(guest_io));
            let wire = tokio::spawn(async move {
                let _ = tokio::join!(guest_side.write_all(&to_host), host_side.write_all(&to_guest));
                let _ = tokio::io::copy_bidirectional(&mut guest_side, &mut host_side).await;
            });
            let host_end = async {
                // Hellos that the dead peer left open sessions as well; the living one supersedes them.
                loop {
                    let mut stream = host.accept().await.unwrap();
                    let mut received = vec![0; payload.len()];
                    if stream.read_exact(&mut received).await.is_ok() {
                        assert_eq!(received, payload);
                        stream.write_all(&payload).await.unwrap();
                        return stream;
                    }
                }
            };
            let guest_end = async {
                loop {
                    let mut stream = guest.connect().await.unwrap();
                    let mut received = vec![0; payload.len()];
                    if stream.write_all(&payload).await.is_ok() && stream.read_exact(&mut received).await.is_ok() {
                        assert_eq!(received, payload);
                        return stream;
                    }
                }
            };
            let _streams = tokio::join!(host_end, guest_end);
            wire.abort();
        });
    }
}
