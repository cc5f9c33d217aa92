//! Downloads from a server of the test's own, which breaks off, forgets ranges and lies.

use nestless_plan::fetch::{Dataset, FetchError, Fetched, Remote, checksums, download, text};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

const SHA256_OF_BODY: &str = "2fadeb03b6d797daf4d2a3fdfdbe5662d50eaa343fc153b249894a336bf0ebba";

fn body() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[derive(Clone, Copy)]
enum Manner {
    /// Ranges are honoured.
    Ranges,
    /// Ranges are ignored.
    NoRanges,
    /// Every answer stops after so many bytes.
    BreaksOffAfter(usize),
    /// There is nothing.
    Missing,
}

/// Answers until the test process ends; returns its address and the `Range` headers it saw.
fn serve(manner: Manner) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/part", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ranges = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), manner, &ranges);
        }
    });
    (url, seen)
}

fn answer(mut stream: TcpStream, manner: Manner, ranges: &Mutex<Vec<String>>) {
    let mut from = 0;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            ranges.lock().unwrap().push(range.to_owned());
            from = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let body = body();
    let head = |status: &str, more: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n")
    };
    let (head, content) = match manner {
        Manner::Missing => (head("404 Not Found", "", 0), &body[..0]),
        Manner::NoRanges => (head("200 OK", "", body.len()), &body[..]),
        _ if from > body.len() => (head("416 Range Not Satisfiable", "", 0), &body[..0]),
        _ if from > 0 => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
            (head("206 Partial Content", &range, body.len() - from), &body[from..])
        }
        _ => (head("200 OK", "", body.len()), &body[..]),
    };
    let sent =
        if let Manner::BreaksOffAfter(bytes) = manner { bytes.min(content.len()) } else { content.len() };
    // The client may have hung up.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content[..sent]));
}

fn remote(url: &str, folder: &Path) -> Remote {
    let (url, sha256) = (url.to_owned(), SHA256_OF_BODY.to_owned());
    Remote { dataset: Dataset::Google2011, url, sha256, file: folder.join("part.csv.gz") }
}

#[test]
fn all_of_it_then_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let remote = remote(&serve(Manner::Ranges).0, folder.path());
    let mut last = (0, None);
    let fetched = download(&remote, &mut |bytes, size| last = (bytes, size)).unwrap();
    assert_eq!(fetched, Fetched::Downloaded { resumed_at: 0 });
    assert_eq!(last, (800_000, Some(800_000)));
    assert_eq!(std::fs::read(&remote.file).unwrap(), body());
    assert_eq!(download(&remote, &mut |_, _| ()).unwrap(), Fetched::AlreadyHere);
}

#[test]
fn the_rest_of_an_earlier_try() {
    let folder = tempfile::tempdir().unwrap();
    let (url, ranges) = serve(Manner::Ranges);
    let remote = remote(&url, folder.path());
    std::fs::write(folder.path().join("part.csv.gz.part"), &body()[..300_001]).unwrap();
    assert_eq!(download(&remote, &mut |_, _| ()).unwrap(), Fetched::Downloaded { resumed_at: 300_001 });
    assert_eq!(*ranges.lock().unwrap(), ["300001-"]);
    assert_eq!(std::fs::read(&remote.file).unwrap(), body());
}

#[test]
fn a_server_without_ranges_or_a_part_too_long_begins_anew() {
    for (manner, there) in [(Manner::NoRanges, 1_000), (Manner::Ranges, 900_000)] {
        let folder = tempfile::tempdir().unwrap();
        let remote = remote(&serve(manner).0, folder.path());
        std::fs::write(folder.path().join("part.csv.gz.part"), vec![7; there]).unwrap();
        download(&remote, &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(&remote.file).unwrap(), body());
    }
}

#[test]
fn breaking_off_is_resumed_a_few_times_and_then_by_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let (url, ranges) = serve(Manner::BreaksOffAfter(150_000));
    let remote = remote(&url, folder.path());
    let error = download(&remote, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, FetchError::BrokeOff { bytes: 600_000, .. }), "{error}");
    assert!(!remote.file.exists());
    download(&remote, &mut |_, _| ()).unwrap();
    assert_eq!(*ranges.lock().unwrap(), ["150000-", "300000-", "450000-", "600000-", "750000-"]);
}

#[test]
fn wrong_bytes_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let remote = remote(&serve(Manner::Ranges).0, folder.path());
    std::fs::write(folder.path().join("part.csv.gz.part"), vec![7; 1_000]).unwrap();
    let error = download(&remote, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, FetchError::WrongHash { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_there_and_nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = remote(&serve(Manner::Missing).0, folder.path());
    assert!(matches!(download(&missing, &mut |_, _| ()), Err(FetchError::Status { status: 404, .. })));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(text(&format!("http://{closed}/")), Err(FetchError::Ask { .. })));
}

#[test]
fn lists_of_hashes() {
    let hash = "A".repeat(64);
    let list = format!("{hash}  task_events/part-00000-of-00500.csv.gz\n{hash} *./README\nnonsense\n");
    let sums = checksums(&list);
    assert_eq!(sums.len(), 2);
    assert_eq!(sums[&Dataset::Google2011.remote_path(0)], "a".repeat(64));
}
