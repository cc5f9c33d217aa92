//! One file over HTTP.

use super::{Dataset, FetchError};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 64 * 1024;
/// A list of hashes is smaller.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// A transfer that breaks off is resumed this often before the user is asked to.
const ATTEMPTS: u32 = 4;

/// A file to be fetched.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Of which trace.
    pub dataset: Dataset,
    /// Where it is.
    pub url: String,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// Where it goes.
    pub file: PathBuf,
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was there, and right.
    AlreadyHere,
    /// It came; so many bytes were there from an earlier try.
    Downloaded {
        /// In bytes.
        resumed_at: u64,
    },
}

/// Fetches a file, or the rest of it. `progress` is told the bytes on disk and, where known, the size.
///
/// Guarantees: `remote.file` exists afterwards only with the right hash.
///
/// # Errors
/// Any [`FetchError`] but `NoHash`.
pub fn download(remote: &Remote, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<Fetched, FetchError> {
    if remote.file.is_file() && hash_of(&remote.file)?.1 == remote.sha256 {
        return Ok(Fetched::AlreadyHere);
    }
    let part = part_of(&remote.file);
    let resumed_at = fs::metadata(&part).map_or(0, |found| found.len());
    let mut attempt = 1;
    let hasher = loop {
        match transfer(remote, &part, progress) {
            Err(FetchError::BrokeOff { .. }) if attempt < ATTEMPTS => attempt += 1,
            other => break other?,
        }
    };
    let found = hex(hasher);
    if found != remote.sha256 {
        fs::remove_file(&part).map_err(|source| FetchError::Write { path: part.clone(), source })?;
        return Err(FetchError::WrongHash { url: remote.url.clone(), found, wanted: remote.sha256.clone() });
    }
    fs::rename(&part, &remote.file)
        .map_err(|source| FetchError::Write { path: remote.file.clone(), source })?;
    Ok(Fetched::Downloaded { resumed_at })
}

/// Fetches a small text.
///
/// # Errors
/// `Ask`, `Status` or `BrokeOff`.
pub fn text(url: &str) -> Result<String, FetchError> {
    let mut answer = ask(url, 0, "identity")?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(FetchError::Status { url: url.to_owned(), status });
    }
    let mut text = String::new();
    let read = answer.body_mut().as_reader().take(MAX_TEXT_BYTES).read_to_string(&mut text);
    read.map_err(|source| FetchError::BrokeOff { url: url.to_owned(), bytes: text.len() as u64, source })?;
    Ok(text)
}

fn ask(url: &str, from: u64, encoding: &str) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut request = ureq::Agent::new_with_config(config).get(url).header("Accept-Encoding", encoding);
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
    }
    request.call().map_err(|source| FetchError::Ask { url: url.to_owned(), source: Box::new(source) })
}

/// Appends what is missing to `part`, and hashes all of it.
fn transfer(
    remote: &Remote,
    part: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Sha256, FetchError> {
    let failed = |source| FetchError::Write { path: part.to_owned(), source };
    if let Some(folder) = part.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let (mut bytes, mut hasher) = if part.exists() { resume(part)? } else { (0, Sha256::new()) };
    let mut answer = ask(&remote.url, bytes, remote.dataset.accept_encoding())?;
    let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(failed)?;
    match answer.status().as_u16() {
        206 if range_start(&answer) == Some(bytes) => {}
        // All of it although a part was asked for, or a part that is longer than the file: from the beginning.
        200 | 206 | 416 if bytes > 0 => {
            file.set_len(0).map_err(failed)?;
            (bytes, hasher) = (0, Sha256::new());
            if answer.status().as_u16() != 200 {
                answer = ask(&remote.url, 0, remote.dataset.accept_encoding())?;
            }
        }
        _ => {}
    }
    let status = answer.status().as_u16();
    if status != 200 && status != 206 {
        return Err(FetchError::Status { url: remote.url.clone(), status });
    }
    let size = answer.body().content_length().map(|rest| bytes + rest);
    progress(bytes, size);
    let mut body = answer.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    let broke_off = |bytes, source| FetchError::BrokeOff { url: remote.url.clone(), bytes, source };
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broke_off(bytes, error)),
        };
        file.write_all(&buffer[..read]).map_err(failed)?;
        hasher.update(&buffer[..read]);
        bytes += read as u64;
        progress(bytes, size);
    }
    file.sync_all().map_err(failed)?;
    if size.is_some_and(|size| bytes < size) {
        return Err(broke_off(bytes, io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(hasher)
}

/// Bytes and hash of what is there.
fn resume(part: &Path) -> Result<(u64, Sha256), FetchError> {
    let mut hasher = Sha256::new();
    let failed = |source| FetchError::Write { path: part.to_owned(), source };
    let mut file = File::open(part).map_err(failed)?;
    let bytes = io::copy(&mut file, &mut HashInto(&mut hasher)).map_err(failed)?;
    Ok((bytes, hasher))
}

fn hash_of(path: &Path) -> Result<(u64, String), FetchError> {
    resume(path).map(|(bytes, hasher)| (bytes, hex(hasher)))
}

struct HashInto<'a>(&'a mut Sha256);

impl Write for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first byte of `Content-Range: bytes FIRST-LAST/SIZE`.
fn range_start(answer: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    let value = answer.headers().get("Content-Range")?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
