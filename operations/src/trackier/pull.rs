//! The conversions of a span, day by day.
//!
//! There is no "changed since", so the whole span is listed. Rows shift between pages while one
//! reads: a new conversion pushes others to the next page (they are seen twice), and one that is
//! taken out pulls others back (they aren't seen). So a day's pages are read again until as many
//! conversions were seen as the network says that there are, a few times at most. A day for which
//! that doesn't come out is marked; what it lacks, the next pull brings.

use std::collections::{HashMap, HashSet};

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    client::{Client, TrackierError},
    spool::{DayMark, Spool, SpoolError},
};

/// How often a day's pages are read, at most.
const READINGS_MAX: u32 = 3;
/// Pages of a day, at most: two million conversions, ten times what the product is made for.
const PAGES_MAX: u32 = 2_000;

/// What a pull came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PullSummary {
    /// Days that were listed, one beyond the span at either end.
    pub days: u64,
    /// Days that an earlier, interrupted pull had listed.
    pub resumed: u64,
    /// Pages that were read.
    pub pages: u64,
    /// Rows that were kept.
    pub rows: u64,
    /// Rows that were seen before as they stand, and left.
    pub repeated: u64,
    /// Days whose pages were read more than once.
    pub reread: u64,
    /// Days of which as many conversions were never seen as the network said there are.
    pub unsettled: Vec<NaiveDate>,
}

/// Why a pull has no end.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// A page can't be had. What was pulled before is kept.
    #[error(transparent)]
    Trackier(#[from] TrackierError),
    /// Rows can't be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The pages have no end.
    #[error("the conversions of {0} have over {PAGES_MAX} pages")]
    Endless(NaiveDate),
}

/// Lists every day that a spool's span touches, and one more at either end: by whose clock Trackier
/// counts days isn't documented.
///
/// # Errors
/// See [`PullError`]; the days that are whole stay in the spool.
pub async fn pull(
    client: &Client,
    spool: &mut Spool,
    progress: impl Fn(&PullSummary),
) -> Result<PullSummary, PullError> {
    let header = spool.header();
    let date = |at: schemas::Timestamp| at.to_datetime().date_naive();
    let one = Days::new(1);
    let first = date(header.from).checked_sub_days(one).unwrap_or_default();
    let last = date(header.to).checked_add_days(one).unwrap_or_default();
    let today = date(header.as_of).checked_add_days(one).unwrap_or_default();
    let whole: HashSet<NaiveDate> = spool.days().iter().map(|mark| mark.day).collect();
    let mut summary = PullSummary::default();
    for day in first.iter_days().take_while(|day| *day <= last.min(today)) {
        summary.days += 1;
        if whole.contains(&day) {
            summary.resumed += 1;
            continue;
        }
        let settled = list_day(client, spool, day, &mut summary).await?;
        spool.end_day(DayMark { day, settled })?;
        progress(&summary);
    }
    summary.unsettled = spool.unsettled().into_iter().collect();
    Ok(summary)
}

/// The rows of a day that were seen: what tells one from another, and what it said last.
#[derive(Default)]
struct Seen(HashMap<[u8; 16], [u8; 16]>);

/// One reading of a day's pages.
struct Reading {
    /// Conversions seen in it.
    conversions: u64,
    /// The largest number that the network named meanwhile.
    total: Option<u64>,
}

impl Reading {
    fn settled(&self) -> bool {
        self.total.is_none_or(|total| self.conversions >= total)
    }
}

/// Lists a day; whether it settled.
async fn list_day(
    client: &Client,
    spool: &mut Spool,
    day: NaiveDate,
    summary: &mut PullSummary,
) -> Result<bool, PullError> {
    let mut seen = Seen::default();
    for number in 1..=READINGS_MAX {
        if read_pages(client, spool, day, &mut seen, summary)
            .await?
            .settled()
        {
            summary.reread += u64::from(number > 1);
            return Ok(true);
        }
    }
    summary.reread += 1;
    Ok(false)
}

async fn read_pages(
    client: &Client,
    spool: &mut Spool,
    day: NaiveDate,
    seen: &mut Seen,
    summary: &mut PullSummary,
) -> Result<Reading, PullError> {
    let mut total = None;
    let mut identities = HashSet::new();
    for number in 1..=PAGES_MAX {
        let page = client.conversions_page(day, number).await?;
        summary.pages += 1;
        total = total.max(page.pagination.map(|pagination| pagination.total));
        let mut further = false;
        for row in &page.rows {
            further |= identities.insert(identity(row.get()));
            if seen.says_something(row.get()) {
                spool.keep(row.get())?;
                summary.rows += 1;
            } else {
                summary.repeated += 1;
            }
        }
        let reading = Reading {
            conversions: identities.len() as u64,
            total,
        };
        // A page without anything further ends it: the last is empty, or all pages are alike.
        if !further || (total.is_some() && reading.settled()) {
            return Ok(reading);
        }
    }
    Err(PullError::Endless(day))
}

impl Seen {
    /// Whether a row is new, or says something else than before.
    fn says_something(&mut self, row: &str) -> bool {
        let content = digest(row);
        self.0.insert(identity(row), content) != Some(content)
    }
}

/// What tells a conversion from others: Trackier's id, else all that the row says.
fn identity(row: &str) -> [u8; 16] {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "_id")]
        id: String,
    }
    match serde_json::from_str::<Named>(row) {
        Ok(Named { id }) => digest(&id),
        Err(_) => digest(row),
    }
}

fn digest(text: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(text)[..16]);
    half
}
