//! Two dumps compared without keeping either: by a number for each line, and then the lines whose
//! numbers only one has.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
};

/// Numbers of the lines of a dump: eight bytes for each.
#[derive(Debug, Default)]
pub(super) struct LineHashes {
    hashes: Vec<u64>,
    begun: Vec<u8>,
}

fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// Hands each line that ends in `bytes` to `take`; what is begun stays in `begun`.
fn lines(begun: &mut Vec<u8>, bytes: &[u8], mut take: impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        begun.extend_from_slice(piece);
        if begun.ends_with(b"\n") {
            take(&begun[..begun.len() - 1]);
            begun.clear();
        }
    }
}

impl Write for LineHashes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let hashes = &mut self.hashes;
        lines(&mut self.begun, bytes, |line| hashes.push(hash(line)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many lines of a dump the other lacks, by their number.
#[derive(Debug, Default)]
pub(super) struct OnlyHere(HashMap<u64, usize>);

/// What each of two dumps has and the other hasn't.
pub(super) fn compare(mut one: LineHashes, mut other: LineHashes) -> (OnlyHere, OnlyHere) {
    one.hashes.sort_unstable();
    other.hashes.sort_unstable();
    let (mut here, mut there) = (OnlyHere::default(), OnlyHere::default());
    let mut ours = one.hashes.into_iter().peekable();
    let mut theirs = other.hashes.into_iter().peekable();
    loop {
        match (ours.peek().copied(), theirs.peek().copied()) {
            (None, None) => return (here, there),
            (Some(mine), Some(yours)) if mine == yours => {
                ours.next();
                theirs.next();
            }
            (Some(mine), yours) if yours.is_none_or(|yours| mine < yours) => {
                *here.0.entry(mine).or_default() += 1;
                ours.next();
            }
            (_, Some(yours)) => {
                *there.0.entry(yours).or_default() += 1;
                theirs.next();
            }
            (Some(_), None) => ours.by_ref().for_each(|mine| {
                *here.0.entry(mine).or_default() += 1;
            }),
        }
    }
}

impl OnlyHere {
    pub fn count(&self) -> u64 {
        self.0.values().map(|lines| *lines as u64).sum()
    }
}

/// Keeps the first of the lines that only one dump has.
#[derive(Debug)]
pub(super) struct FirstLines {
    wanted: OnlyHere,
    at_most: usize,
    pub kept: Vec<String>,
    begun: Vec<u8>,
}

impl FirstLines {
    pub fn new(wanted: OnlyHere, at_most: usize) -> Self {
        Self {
            wanted,
            at_most,
            kept: Vec::new(),
            begun: Vec::new(),
        }
    }
}

impl Write for FirstLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            wanted,
            at_most,
            kept,
            begun,
        } = self;
        lines(begun, bytes, |line| {
            if kept.len() < *at_most && wanted.0.contains_key(&hash(line)) {
                kept.push(String::from_utf8_lossy(line).into_owned());
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(lines: &[u8], cut: usize) -> LineHashes {
        let mut hashes = LineHashes::default();
        for bytes in lines.chunks(cut) {
            hashes.write_all(bytes).expect("written");
        }
        hashes
    }

    proptest! {
        #[test]
        fn what_only_one_has_is_found_however_it_was_written(
            ours in prop::collection::vec(0_u32..6, 0..20),
            theirs in prop::collection::vec(0_u32..6, 0..20),
            cut in 1_usize..9,
        ) {
            let text = |lines: &[u32]| -> Vec<u8> {
                lines.iter().flat_map(|line| format!("line {line}\n").into_bytes()).collect()
            };
            let (ours_text, theirs_text) = (text(&ours), text(&theirs));
            let (here, there) = compare(hashes(&ours_text, cut), hashes(&theirs_text, 3));
            let count = |lines: &[u32], line: u32| lines.iter().filter(|one| **one == line).count();
            let lacks = |lines: &[u32], others: &[u32]| -> usize {
                (0..6).map(|line| count(lines, line).saturating_sub(count(others, line))).sum()
            };
            prop_assert_eq!(here.count(), lacks(&ours, &theirs) as u64);
            prop_assert_eq!(there.count(), lacks(&theirs, &ours) as u64);
            let mut lines = FirstLines::new(here, 100);
            lines.write_all(&ours_text).expect("written");
            let lacked = lines.kept.iter().all(|line| {
                let line: u32 = line.trim_start_matches("line ").parse().expect("a number");
                count(&ours, line) > count(&theirs, line)
            });
            prop_assert!(lacked);
        }
    }
}
