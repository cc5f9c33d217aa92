//! An image made of busybox alone, for sandboxes and containers: nothing is fetched from a registry.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// How containerd knows it.
pub(crate) const NAME: &str = "localhost/busybox:test";
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 9] = ["sh", "sleep", "ping", "wget", "httpd", "ip", "dd", "cat", "mkdir"];

/// The image as `ctr images import` takes it: a Docker archive of one layer. What runs in it unless told otherwise only
/// waits, which is all that a sandbox's first process is for.
pub(crate) fn archive() -> Vec<u8> {
    let layer = layer();
    let digest = Sha256::digest(&layer).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    });
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": [BUSYBOX, "sleep", "2147483647"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] },
    ]);
    let mut archive = tar::Builder::new(Vec::new());
    file(&mut archive, "config.json", config.to_string().as_bytes());
    file(&mut archive, "layer.tar", &layer);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    archive.into_inner().expect("memory takes everything")
}

fn layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        let mut header = header(tar::EntryType::Directory, 0);
        layer.append_data(&mut header, directory, std::io::empty()).expect("memory takes everything");
    }
    let busybox = std::fs::read(BUSYBOX).expect("busybox-static is installed");
    file(&mut layer, "bin/busybox", &busybox);
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("memory takes everything");
    }
    layer.into_inner().expect("memory takes everything")
}

fn file(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = header(tar::EntryType::Regular, content.len() as u64);
    archive.append_data(&mut header, path, content).expect("memory takes everything");
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(size);
    header
}
