//! When a campaign has gone quiet: pure statistics over its own history.
//!
//! The hours up to now are compared with the same hours of the weeks before. Were postbacks
//! independent events in the rhythm of a week, then of all of them that fell into those hours, now
//! and in `w` weeks before, each would have fallen into now with a chance of 1 / (w + 1), whatever
//! the rate: so the chance of seeing as few as there are, or fewer, is a binomial tail. That is
//! exact, so the rate of false alarms is at most the one that is set; a quiet night is compared
//! with quiet nights. Real counts come in bursts: they are divided by how much more they vary from
//! week to week than independent events would.

/// Hours of a week.
pub const WEEK_HOURS: usize = 7 * 24;
/// Weeks that are looked back on.
pub const HISTORY_WEEKS: usize = 5;
/// Spans that are looked at, each up to now.
const SPANS_HOURS: [usize; 8] = [1, 2, 3, 6, 12, 24, 48, 72];
/// Hours that a history holds, if it is whole.
pub const HISTORY_HOURS: usize = HISTORY_WEEKS * WEEK_HOURS + SPANS_HOURS[7];
/// Fewer weeks say too little about a week.
const WEEKS_MIN: usize = 2;
/// Chance that one check of one campaign that isn't silent says that it is, at most.
pub const FALSE_ALARM_RATE: f64 = 1e-6;

/// A campaign that has gone quiet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    /// How many hours ago the last postback came, where none came since; else how long ago it
    /// became too quiet.
    pub hours: usize,
    /// The span in which the difference shows most, in hours.
    pub span_hours: usize,
    /// Postbacks that came in it.
    pub seen: u64,
    /// Postbacks that were to be expected in it: the mean of the weeks before.
    pub expected: f64,
    /// Chance of so few, were nothing wrong.
    pub chance: f64,
}

/// Judges a campaign by its postbacks per hour, oldest first, up to the last whole hour.
pub fn judge(hours: &[u32], false_alarm_rate: f64) -> Option<Silence> {
    let first = hours.iter().position(|count| *count > 0)?;
    let hours = &hours[first..];
    let burstiness = burstiness(hours);
    let worst = SPANS_HOURS
        .iter()
        .filter_map(|span| compare(hours, *span, burstiness))
        .min_by(|one, other| one.chance.total_cmp(&other.chance))?;
    #[expect(clippy::cast_precision_loss, reason = "eight")]
    let spans = SPANS_HOURS.len() as f64;
    (worst.chance < false_alarm_rate / spans).then_some(worst)
}

/// The last hours against the same hours of the weeks before.
fn compare(hours: &[u32], span: usize, burstiness: f64) -> Option<Silence> {
    let now = hours.len().checked_sub(span)?;
    let weeks = (now / WEEK_HOURS).min(HISTORY_WEEKS);
    if weeks < WEEKS_MIN {
        return None;
    }
    let sum = |from: usize| -> u64 { hours[from..from + span].iter().map(|n| u64::from(*n)).sum() };
    let seen = sum(now);
    let before: u64 = (1..=weeks).map(|week| sum(now - week * WEEK_HOURS)).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let (weeks, seen_now, seen_before) = (weeks as f64, seen as f64, before as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are neither negative nor beyond 2^52"
    )]
    let (few, all) = {
        // Against an alarm on either side: what was seen is rounded up, what was before, down.
        let few = (seen_now / burstiness).ceil() as u64;
        (few, few + (seen_before / burstiness).floor() as u64)
    };
    let quiet_since = hours.iter().rev().take_while(|count| **count == 0).count();
    Some(Silence {
        hours: if seen == 0 { quiet_since } else { span },
        span_hours: span,
        seen,
        expected: seen_before / weeks,
        chance: binomial_tail(few, all, 1.0 / (weeks + 1.0)),
    })
}

/// How much more an hour varies from week to week than independent events would; 1 at least.
fn burstiness(hours: &[u32]) -> f64 {
    let weeks = hours.len() / WEEK_HOURS;
    if weeks < WEEKS_MIN {
        return 1.0;
    }
    let (mut excess, mut slots) = (0.0, 0_u32);
    for slot in 0..WEEK_HOURS {
        let counts = || (0..weeks).map(|week| f64::from(hours[week * WEEK_HOURS + slot]));
        #[expect(clippy::cast_precision_loss, reason = "a few weeks")]
        let weeks = weeks as f64;
        let mean = counts().sum::<f64>() / weeks;
        if mean > 0.0 {
            let squares: f64 = counts().map(|count| (count - mean).powi(2)).sum();
            excess += squares / (mean * (weeks - 1.0));
            slots += 1;
        }
    }
    if slots == 0 {
        1.0
    } else {
        (excess / f64::from(slots)).max(1.0)
    }
}

/// The chance of at most `few` of `all` independent events that each happen with `chance`.
fn binomial_tail(few: u64, all: u64, chance: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let number = |count: u64| count as f64;
    // Each term from the one before, as logarithms: the first may be below any float.
    let mut log_term = number(all) * (1.0 - chance).ln();
    let mut tail = log_term.exp();
    for index in 1..=few.min(all) {
        let odds = number(all - index + 1) / number(index) * chance / (1.0 - chance);
        log_term += odds.ln();
        tail += log_term.exp();
    }
    tail.min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A small generator, so that histories are the same in every run: `SplitMix64`.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            #[expect(clippy::cast_precision_loss, reason = "53 bits")]
            let bits = ((mixed ^ (mixed >> 31)) >> 11) as f64;
            bits / 9_007_199_254_740_992.0
        }

        /// Independent events at a rate.
        fn poisson(&mut self, rate: f64) -> u32 {
            let (mut count, mut product) = (0, self.roll());
            while product > (-rate).exp() {
                count += 1;
                product *= self.roll();
            }
            count
        }
    }

    /// Busy by day, almost nothing from midnight to six, half as much at weekends.
    fn rate(hour: usize, busiest: f64) -> f64 {
        let (day, hour) = (hour / 24 % 7, hour % 24);
        let by_day = if hour < 6 { 0.01 } else { 1.0 };
        let by_week = if day >= 5 { 0.5 } else { 1.0 };
        busiest * by_day * by_week
    }

    fn history(dice: &mut Dice, hours: usize, busiest: f64) -> Vec<u32> {
        (0..hours)
            .map(|hour| dice.poisson(rate(hour, busiest)))
            .collect()
    }

    #[test]
    fn a_busy_campaign_gone_quiet_is_noticed_within_hours() {
        let mut dice = Dice(1);
        // The last whole hour is noon of a Tuesday.
        let until = 5 * WEEK_HOURS + 24 + 12;
        let mut hours = history(&mut dice, until, 10.0);
        assert_eq!(judge(&hours, FALSE_ALARM_RATE), None);
        hours[until - 3..].fill(0);
        let silence = judge(&hours, FALSE_ALARM_RATE).expect("thirty are missing");
        assert_eq!((silence.hours, silence.seen), (3, 0));
        assert!((20.0..40.0).contains(&silence.expected), "{silence:?}");
        assert!(silence.chance < FALSE_ALARM_RATE);
    }

    #[test]
    fn a_quiet_night_is_no_alarm_and_the_morning_after_tells() {
        let mut dice = Dice(2);
        let midnight = 5 * WEEK_HOURS + 2 * 24;
        let mut hours = history(&mut dice, midnight, 10.0);
        for night in 1..=6 {
            hours.push(0);
            assert_eq!(
                judge(&hours, FALSE_ALARM_RATE),
                None,
                "hour {night} of the night"
            );
        }
        hours.extend([0, 0, 0]);
        let silence = judge(&hours, FALSE_ALARM_RATE).expect("it should be busy by nine");
        assert!(silence.hours >= 9, "{silence:?}");
    }

    #[test]
    fn a_trickle_of_what_it_was_is_noticed_too() {
        let mut dice = Dice(3);
        let until = 5 * WEEK_HOURS + 2 * 24 + 20;
        let mut hours = history(&mut dice, until, 20.0);
        for hour in &mut hours[until - 12..] {
            *hour /= 8;
        }
        let silence = judge(&hours, FALSE_ALARM_RATE).expect("an eighth");
        assert!(silence.seen > 0 && silence.expected > 100.0, "{silence:?}");
    }

    #[test]
    fn rare_or_young_campaigns_say_nothing_by_silence() {
        let mut dice = Dice(4);
        let until = 5 * WEEK_HOURS + 24 + 12;
        let mut rare = history(&mut dice, until, 0.05);
        rare[until - 24..].fill(0);
        assert_eq!(judge(&rare, FALSE_ALARM_RATE), None);
        let mut young = vec![0; until - 10 * 24];
        young.extend(history(&mut dice, 10 * 24, 50.0));
        let last = young.len() - 6;
        young[last..].fill(0);
        assert_eq!(
            judge(&young, FALSE_ALARM_RATE),
            None,
            "ten days are no two weeks"
        );
        assert_eq!(judge(&[], FALSE_ALARM_RATE), None);
        assert_eq!(judge(&[0; 1_000], FALSE_ALARM_RATE), None);
    }

    #[test]
    fn false_alarms_are_no_more_than_was_set() {
        let mut dice = Dice(5);
        let (mut checks, mut alarms) = (0, 0);
        for campaign in 0..40 {
            let busiest = 0.5 * f64::from(1 + campaign % 20);
            let hours = history(&mut dice, 8 * WEEK_HOURS, busiest);
            for until in (6 * WEEK_HOURS..8 * WEEK_HOURS).step_by(5) {
                checks += 1;
                let from = until.saturating_sub(HISTORY_HOURS);
                alarms += i32::from(judge(&hours[from..until], 0.05).is_some());
            }
        }
        assert!(checks > 2_000);
        assert!(alarms * 20 <= checks, "{alarms} of {checks}, 5% at most");
        assert!(alarms > 0, "a test that never alarms tells nothing");
    }

    #[test]
    fn bursts_are_allowed_for() {
        let mut dice = Dice(6);
        // One hour in ten brings everything.
        let hours: Vec<u32> = (0..6 * WEEK_HOURS)
            .map(|_| if dice.roll() < 0.1 { 100 } else { 0 })
            .collect();
        let alarms = (5 * WEEK_HOURS..6 * WEEK_HOURS)
            .filter(|until| judge(&hours[..*until], FALSE_ALARM_RATE).is_some())
            .count();
        assert_eq!(alarms, 0);
    }

    #[test]
    fn the_tail_is_the_binomials() {
        let close = |tail: f64, exact: f64| (tail - exact).abs() < 1e-12;
        assert!(close(binomial_tail(0, 3, 0.5), 0.125));
        assert!(close(binomial_tail(1, 3, 0.5), 0.5));
        assert!(close(binomial_tail(3, 3, 0.5), 1.0));
        assert!(close(binomial_tail(0, 0, 0.2), 1.0));
        assert!(binomial_tail(10, 100_000, 0.2) < 1e-300);
    }

    proptest! {
        #[test]
        fn a_chance_is_a_chance(hours in prop::collection::vec(0_u32..50, 0..HISTORY_HOURS)) {
            if let Some(silence) = judge(&hours, 1.0) {
                prop_assert!((0.0..=1.0).contains(&silence.chance));
                prop_assert!(silence.span_hours <= 72);
            }
        }
    }
}
