//! Times of a scenario: written as they are read, counted from its beginning.

use std::fmt;

use schemas::Timestamp;

/// When every scenario begins: 2026-09-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_788_220_800_000);

/// An instant, as its distance from [`START`]: `0`, `1h`, `30d-1ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    text: &'static str,
    at: Timestamp,
}

impl Moment {
    /// Reads a sum of days, hours, minutes, seconds and milliseconds.
    pub fn new(text: &'static str) -> Self {
        let mut millis = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (sign, term) = match rest.strip_prefix('-') {
                Some(term) => (-1, term),
                None => (1, rest.trim_start_matches('+')),
            };
            let end = term.find(['+', '-']).unwrap_or(term.len());
            millis += sign * term_millis(&term[..end]);
            rest = &term[end..];
        }
        Self {
            text,
            at: START.plus_millis(millis),
        }
    }

    /// The instant.
    pub const fn at(self) -> Timestamp {
        self.at
    }
}

fn term_millis(term: &str) -> i64 {
    let digits = term.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count: i64 = digits.parse().expect("a number before the unit");
    count
        * match &term[digits.len()..] {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "min" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            "" if count == 0 => 0,
            unit => panic!("{unit:?} is no unit of time"),
        }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, text) = match self.text.strip_prefix('-') {
            Some(text) => ('−', text),
            None => ('+', self.text),
        };
        let text = text.replace('-', " − ").replace('+', " + ");
        write!(f, "{sign}{text}")
    }
}

#[test]
fn moments_are_read_as_they_are_written() {
    for (text, millis, shown) in [
        ("0", 0, "+0"),
        ("30d-1ms", 2_591_999_999, "+30d − 1ms"),
        ("-1ms", -1, "−1ms"),
        ("1h+5s", 3_605_000, "+1h + 5s"),
    ] {
        let moment = Moment::new(text);
        assert_eq!(moment.at().millis_since(START), millis, "{text}");
        assert_eq!(moment.to_string(), shown);
    }
}
