//! Who is killed, and when.

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use stream::commit_points::CommitPoint;

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The hissaback process, by SIGKILL.
    Process,
    /// PostgreSQL's postmaster, by SIGKILL; hissaback lives and has to recover by itself.
    Postgres,
    /// The same by SIGQUIT, which is what `pg_ctl stop -m immediate` sends.
    PostgresImmediate,
    /// PostgreSQL, then hissaback.
    Both,
}

impl Victim {
    pub const ALL: [Self; 4] = [
        Self::Process,
        Self::Postgres,
        Self::PostgresImmediate,
        Self::Both,
    ];

    /// As the environment of the process names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Postgres => "postgres",
            Self::PostgresImmediate => "postgres-immediate",
            Self::Both => "both",
        }
    }

    /// Whether the hissaback process dies.
    pub const fn ends_process(self) -> bool {
        match self {
            Self::Process | Self::Both => true,
            Self::Postgres | Self::PostgresImmediate => false,
        }
    }
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Any.
    Random,
    /// At a commit point, when the process passes it for the `pass`-th time.
    At {
        /// The point.
        point: CommitPoint,
        /// Which pass, from 1.
        pass: u32,
    },
}

impl Moment {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "at random",
            Self::At { point, .. } => point.name(),
        }
    }
}

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    pub moment: Moment,
    pub victim: Victim,
}

/// `count` kills at random moments, of each victim by turns.
pub fn at_random(count: usize) -> Vec<Kill> {
    let victims = Victim::ALL.iter().cycle().take(count);
    victims
        .map(|victim| Kill {
            moment: Moment::Random,
            victim: *victim,
        })
        .collect()
}

/// Every point with the process, PostgreSQL and both as victims, as often as fits beside a quarter
/// of kills at random moments; in any order.
pub fn everywhere(count: usize, points: &[CommitPoint], rng: &mut StdRng) -> Vec<Kill> {
    let round: Vec<(CommitPoint, Victim)> = points
        .iter()
        .flat_map(|point| [Victim::Process, Victim::Postgres, Victim::Both].map(|v| (*point, v)))
        .collect();
    let rounds = (count * 3 / 4) / round.len().max(1);
    let mut kills: Vec<Kill> = (0..rounds.max(1))
        .flat_map(|_| round.iter())
        .map(|(point, victim)| Kill {
            moment: Moment::At {
                point: *point,
                pass: rng.random_range(1..=3),
            },
            victim: *victim,
        })
        .collect();
    kills.extend(at_random(count.saturating_sub(kills.len())));
    kills.shuffle(rng);
    kills
}

#[test]
fn a_full_plan_walks_every_point_with_every_victim() {
    use rand::SeedableRng;

    let mut rng = StdRng::seed_from_u64(1);
    let kills = everywhere(216, CommitPoint::ALL, &mut rng);
    assert_eq!(kills.len(), 216);
    for point in CommitPoint::ALL {
        for victim in [Victim::Process, Victim::Postgres, Victim::Both] {
            let planned = kills
                .iter()
                .any(|kill| kill.victim == victim && kill.moment.name() == point.name());
            assert!(planned, "{} {}", point.name(), victim.name());
        }
    }
    assert!(kills.iter().any(|kill| kill.moment == Moment::Random));
}
