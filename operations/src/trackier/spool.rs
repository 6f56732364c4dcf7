//! What was pulled, in a file: a row a line, as it stood, and after each day a mark. So memory
//! stays flat, one pull serves several tenants, and one that was interrupted goes on where it
//! stopped.
//!
//! Marks begin with `#`, which no JSON does. Nobody but its owner may read the file: rows hold
//! shoppers' addresses.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use chrono::NaiveDate;
use schemas::{NetworkId, Timestamp};
use serde::{Deserialize, Serialize};

/// Begins every line that is no row.
pub(crate) const MARK: u8 = b'#';

/// What a pull is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullHeader {
    /// The network instance.
    pub network_id: NetworkId,
    /// Conversions at or after this.
    pub from: Timestamp,
    /// Conversions before this.
    pub to: Timestamp,
    /// When it began: what came in later outranks it.
    pub as_of: Timestamp,
}

/// A day that was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayMark {
    /// The day.
    pub day: NaiveDate,
    /// Whether as many rows were seen as the network said there are.
    pub settled: bool,
}

/// Why rows can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file can't be read or written.
    #[error("what was pulled can't be kept: {0}")]
    Io(#[from] io::Error),
    /// The file is something else, which is left as it is.
    #[error("the file holds no pull: give another name, or remove it")]
    NoPull,
    /// The file holds a pull of something else.
    #[error(
        "the file holds a pull of network {} from {} to {}: ask for the same, or remove the file",
        .0.network_id, .0.from, .0.to
    )]
    Another(Box<PullHeader>),
}

/// A pull's file, open.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<File>,
    header: PullHeader,
    days: Vec<DayMark>,
}

impl Spool {
    /// In a file without a name, which goes with its process.
    ///
    /// # Errors
    /// When there can be none.
    pub fn temporary(header: PullHeader) -> Result<Self, SpoolError> {
        Self::begin(tempfile::tempfile()?, header)
    }

    /// In a file that stays. Where it is there, it has to hold a pull of the same; the days that it
    /// holds whole aren't pulled again, and its as-of time holds.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(path: &Path, header: PullHeader) -> Result<Self, SpoolError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if file.metadata()?.len() == 0 {
            return Self::begin(file, header);
        }
        let (kept, days, whole_bytes) = recall(&file)?;
        let asked_for = PullHeader {
            as_of: kept.as_of,
            ..header
        };
        if asked_for != kept {
            return Err(SpoolError::Another(Box::new(kept)));
        }
        // The day that was interrupted begins anew.
        file.set_len(whole_bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file: BufWriter::new(file),
            header: kept,
            days,
        })
    }

    /// What a file holds a pull of; `None` where it isn't there, or empty.
    ///
    /// # Errors
    /// When it can't be read, or holds something else.
    pub fn kept(path: &Path) -> Result<Option<PullHeader>, SpoolError> {
        match File::open(path) {
            Ok(file) if file.metadata()?.len() == 0 => Ok(None),
            Ok(file) => recall(&file).map(|(header, _, _)| Some(header)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(file: File, header: PullHeader) -> Result<Self, SpoolError> {
        let mut spool = Self {
            file: BufWriter::new(file),
            header,
            days: Vec::new(),
        };
        spool.mark(&header)?;
        Ok(spool)
    }

    /// What it is a pull of.
    pub fn header(&self) -> PullHeader {
        self.header
    }

    /// The days that are whole.
    pub fn days(&self) -> &[DayMark] {
        &self.days
    }

    /// Days that are whole, though the network's count and the rows seen differ.
    pub fn unsettled(&self) -> BTreeSet<NaiveDate> {
        let unsettled = self.days.iter().filter(|mark| !mark.settled);
        unsettled.map(|mark| mark.day).collect()
    }

    /// Keeps a row. It is JSON, in which a line break is nothing but a space.
    pub(super) fn keep(&mut self, row: &str) -> Result<(), SpoolError> {
        let line: Vec<u8> = row
            .bytes()
            .map(|byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    byte
                }
            })
            .collect();
        self.file.write_all(&line)?;
        self.file.write_all(b"\n")?;
        Ok(())
    }

    /// Marks a day as whole.
    pub(super) fn end_day(&mut self, mark: DayMark) -> Result<(), SpoolError> {
        self.mark(&mark)?;
        self.file.get_ref().sync_data()?;
        self.days.push(mark);
        Ok(())
    }

    fn mark(&mut self, mark: &impl Serialize) -> Result<(), SpoolError> {
        let text = serde_json::to_string(mark).map_err(io::Error::from)?;
        writeln!(self.file, "{}{text}", char::from(MARK))?;
        Ok(self.file.flush()?)
    }

    /// The rows, from the first on.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn rows(&mut self) -> Result<impl Read + '_, SpoolError> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// The header of a file, the days that are whole, and where the last of them ends.
fn recall(file: &File) -> Result<(PullHeader, Vec<DayMark>, u64), SpoolError> {
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut read = |line: &mut Vec<u8>| -> io::Result<usize> {
        line.clear();
        lines.read_until(b'\n', line)
    };
    let mut at = read(&mut line)? as u64;
    let header = marked(&line).ok_or(SpoolError::NoPull)?;
    let (mut days, mut whole) = (Vec::new(), at);
    loop {
        let length = read(&mut line)? as u64;
        if length == 0 {
            return Ok((header, days, whole));
        }
        at += length;
        if let Some(mark) = marked(&line) {
            days.push(mark);
            whole = at;
        }
    }
}

/// What a mark's line says, if it is one and whole.
fn marked<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let text = line.strip_prefix(&[MARK])?.strip_suffix(b"\n")?;
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> PullHeader {
        PullHeader {
            network_id: NetworkId::new(1),
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(86_400_000),
            as_of: Timestamp::from_millis(90_000_000),
        }
    }

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 9, number).expect("a day")
    }

    fn text(spool: &mut Spool) -> String {
        let mut text = String::new();
        let mut rows = spool.rows().expect("readable");
        rows.read_to_string(&mut text).expect("UTF-8");
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        rows.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_day_that_was_interrupted_begins_anew_and_whole_ones_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pull");
        let mut spool = Spool::open(&path, header()).expect("begun");
        spool.keep("{\"_id\":\n\"a\"}").expect("kept");
        let settled = true;
        spool
            .end_day(DayMark {
                day: day(1),
                settled,
            })
            .expect("kept");
        spool.keep("{\"_id\":\"b\"}").expect("kept");
        drop(spool);
        assert_eq!(Spool::kept(&path).expect("read"), Some(header()));
        let later = PullHeader {
            as_of: Timestamp::from_millis(99_000_000),
            ..header()
        };
        let mut again = Spool::open(&path, later).expect("gone on with");
        assert_eq!(again.header(), header(), "as of its beginning");
        assert_eq!(
            again.days(),
            [DayMark {
                day: day(1),
                settled
            }]
        );
        again.keep("{\"_id\":\"c\"}").expect("kept");
        assert_eq!(text(&mut again), "{\"_id\": \"a\"}|{\"_id\":\"c\"}");
        assert_eq!(
            text(&mut again),
            "{\"_id\": \"a\"}|{\"_id\":\"c\"}",
            "twice"
        );
    }

    #[test]
    fn other_files_and_other_pulls_are_left_as_they_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "somebody's letters\n").expect("written");
        let refused = Spool::open(&path, header());
        assert!(matches!(refused, Err(SpoolError::NoPull)));
        assert!(Spool::kept(&path).is_err());
        let nowhere = Spool::kept(&directory.path().join("nowhere"));
        assert_eq!(nowhere.expect("not there"), None);
        assert_eq!(std::fs::read(&path).expect("read"), b"somebody's letters\n");
        let pull = directory.path().join("pull");
        drop(Spool::open(&pull, header()).expect("begun"));
        let other = PullHeader {
            network_id: NetworkId::new(2),
            ..header()
        };
        assert!(matches!(
            Spool::open(&pull, other),
            Err(SpoolError::Another(_))
        ));
    }
}
