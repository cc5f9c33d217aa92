//! Runs every reader of outside input over its corpus, and over some thousands of mutations of it: without libFuzzer, on
//! every machine, and the same ones every time.

use nestless_hostile::TARGETS;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

const MUTATIONS: u32 = 10_000;
/// Bytes of syntax that the readers know, for mutations that get past their first branch.
const MORSELS: [&[u8]; 10] =
    [b"\0", b"\"", b"{", b"}", b"[", b":", b",", b"\xff", b"18446744073709551615", b"-1"];

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has hardly any file", folder.display());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit.max(1) as u64)).unwrap()
    }
}

/// One to four changes: a bit, a byte, a piece removed, doubled, cut off, put in, or taken from another file.
fn mutated(dice: &mut Dice, files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = files[dice.below(files.len())].1.clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + 1 + dice.below(16)).min(bytes.len());
        match dice.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(bytes.drain(at..end.max(at))),
            3 => {
                let piece = bytes[at..end.max(at)].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, MORSELS[dice.below(MORSELS.len())].iter().copied())),
            _ => {
                let other = &files[dice.below(files.len())].1;
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn every_file_of_the_corpus_is_survived() {
    for target in TARGETS {
        for (path, bytes) in corpus(target.name) {
            let survived = catch_unwind(AssertUnwindSafe(|| (target.attack)(&bytes)));
            assert!(survived.is_ok(), "{}: {}", target.name, path.display());
        }
    }
}

#[test]
fn mutations_are_survived() {
    for target in TARGETS {
        let files = corpus(target.name);
        let mut dice = Dice(0x6e65_7374_6c65_7373);
        // A connection costs as much as a thousand lines.
        let mutations = if target.name == "http2" { MUTATIONS / 10 } else { MUTATIONS };
        for number in 0..mutations {
            let bytes = mutated(&mut dice, &files);
            let survived = catch_unwind(AssertUnwindSafe(|| (target.attack)(&bytes)));
            assert!(survived.is_ok(), "{} number {number}: {}", target.name, bytes.escape_ascii());
        }
    }
}
