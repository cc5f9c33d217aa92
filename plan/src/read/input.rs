//! Bytes in: files or standard input, plain or gzip, and lines of them without unbounded memory.

use super::fault::{Fault, Problem};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

const BUFFER_BYTES: usize = 256 * 1024;
/// Longer lines are no rows of a table.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Decompresses when the bytes say so (the gzip magic 1f 8b, RFC 1952), several members one after another included.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompressed<'a>(input: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(input))))
    } else {
        Ok(Box::new(input))
    }
}

/// Lines of a text, one at a time in one buffer.
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    file: Arc<str>,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, file: &Arc<str>) -> Self {
        Self { input, buffer: Vec::new(), file: Arc::clone(file), line: 0 }
    }

    /// The next line without its end, and its number from 1; `None` at the end of the text.
    ///
    /// # Errors
    /// When the text breaks off, or a line is longer than a row can be.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, Fault> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.buffer);
        let line = self.line + 1;
        let fault = |problem| Fault { file: Arc::clone(&self.file), line, field: "(line)".into(), problem };
        let read = read.map_err(|error| fault(Problem::Unreadable(error)))?;
        if read > MAX_LINE_BYTES {
            return Err(fault(Problem::TooLong { limit: MAX_LINE_BYTES }));
        }
        if read == 0 {
            return Ok(None);
        }
        self.line = line;
        let text = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        Ok(Some((line, text.strip_suffix(b"\r").unwrap_or(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn all(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        decompressed(bytes)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn plain_gzip_and_two_members() {
        assert_eq!(all(b"a,b\n").unwrap(), "a,b\n");
        assert_eq!(all(&[gzip("a\n"), gzip("b\n")].concat()).unwrap(), "a\nb\n");
        assert_eq!(all(b"").unwrap(), "");
    }

    #[test]
    fn a_truncated_gzip_is_an_error_at_its_line() {
        let whole = gzip(&(0..10_000).map(|n| format!("{n}\n")).collect::<String>());
        let file: Arc<str> = "part.gz".into();
        let mut lines = Lines::new(decompressed(&whole[..whole.len() / 2]).unwrap(), &file);
        let fault = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a truncated file seemed whole"),
                Err(fault) => break fault,
            }
        };
        assert!(fault.line > 100, "{fault}");
        assert!(matches!(fault.problem, Problem::Unreadable(_)));
    }

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let file: Arc<str> = "zeros".into();
        let mut lines = Lines::new(BufReader::new(io::repeat(0).take(1 << 30)), &file);
        assert!(matches!(lines.next(), Err(Fault { problem: Problem::TooLong { .. }, .. })));
    }
}
