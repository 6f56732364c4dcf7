//! Being a member of a group: a thread that polls the member's client all the time, so that the
//! group never waits for whoever processes records, and that hands rebalances over.
//!
//! ```text
//!  assign ─▶ where does it start? ─▶ fetch ─▶ Assigned          ─▶ answer the group
//!  revoke ─▶ stop fetching ─▶ Revoked ─▶ drained and released   ─▶ answer the group
//! ```
//!
//! The answer to a revocation is what lets the partition go to another member. Until then this
//! one stays in the group with its heartbeats, and its commits are good.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tracing::{debug, warn};

use super::{
    condition::Observer, fault::Fault, fetcher::Fetcher, holdings::Holdings,
    settings::KafkaSettings,
};
use crate::{error::LogError, log::Partition};

/// How often the thread looks up when nothing happens, and when it waits for a release.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
const WAITS_FOR: Duration = Duration::from_millis(10);

/// What the group wants.
#[derive(Debug)]
enum Rebalance {
    Assign(Vec<Partition>),
    Revoke(Vec<Partition>),
    /// A revocation that was handed over.
    Releasing(Vec<Partition>),
}

/// Hears rebalances. They are dealt with outside of the callback: by the events interface,
/// librdkafka lets the application answer whenever it is ready.
pub(super) struct Member {
    observer: Observer,
    settings: KafkaSettings,
    group: String,
    /// Its name in the group, if it is a static member.
    instance_id: Option<String>,
    wanted: Mutex<VecDeque<Rebalance>>,
    /// From then on everything is given up at once.
    leaving: AtomicBool,
}

impl Member {
    pub(super) fn new(
        observer: Observer,
        settings: KafkaSettings,
        group: &str,
        instance_id: Option<&str>,
    ) -> Self {
        Self {
            observer,
            settings,
            group: group.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            wanted: Mutex::default(),
            leaving: AtomicBool::new(false),
        }
    }

    /// Another process has its name: what the group says to static members alone.
    pub(super) fn fenced(&self) -> LogError {
        LogError::Fenced {
            group: self.group.clone(),
            instance_id: self.instance_id.clone().unwrap_or_default(),
        }
    }

    fn wanted(&self) -> Option<Rebalance> {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = list
            .elements()
            .iter()
            .filter_map(|element| {
                let topic = self.settings.topic_named(element.topic());
                if topic.is_none() {
                    warn!(
                        topic = element.topic(),
                        "not ours: it was not subscribed to"
                    );
                }
                Some((topic?, element.partition()))
            })
            .collect();
        partitions.sort_unstable();
        partitions
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.observer.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::SeqCst) {
            answer(client, assign);
            return;
        }
        let partitions = self.partitions(list);
        debug!(assign, ?partitions, "rebalance");
        let wanted = if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke(partitions)
        };
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(wanted);
    }
}

/// Tells the group that a rebalance is dealt with. The member's client fetches nothing, so what
/// it is to start or stop fetching is nothing too; what it is assigned librdkafka keeps apart.
fn answer(client: &BaseConsumer<Member>, assign: bool) {
    let nothing = TopicPartitionList::new();
    let answered = if assign {
        client.incremental_assign(&nothing)
    } else {
        client.incremental_unassign(&nothing)
    };
    if let Err(error) = answered {
        warn!(%error, assign, "a rebalance was not answered");
    }
}

/// The two clients of a member.
pub(super) struct Clients {
    pub(super) member: BaseConsumer<Member>,
    pub(super) fetcher: Fetcher,
}

/// Where a reader finds them; empty once the member has left. Whoever drops the last handle waits
/// until the group has heard of it, which should be the thread.
pub(super) type ClientSlot = Arc<Mutex<Option<Arc<Clients>>>>;

/// The thread's own state.
pub(super) struct Membership {
    pub(super) clients: Arc<Clients>,
    pub(super) slot: ClientSlot,
    pub(super) holdings: Arc<Holdings>,
}

impl Membership {
    /// Runs until the holdings are stopped, and leaves the group.
    pub(super) fn run(self) {
        let mut pending = None;
        while !self.holdings.stopped() {
            let wait = match pending {
                Some(_) => WAITS_FOR,
                None => LOOKS_EVERY,
            };
            if let Some(Err(error)) = self.clients.member.poll(wait) {
                self.heard(&error);
            }
            if self.clients.fetcher.serve() > 0 {
                self.holdings.fail_astray();
            }
            self.rescue();
            while let Some(wanted) = pending
                .take()
                .or_else(|| self.clients.member.context().wanted())
            {
                pending = self.serve(wanted);
                if pending.is_some() {
                    break;
                }
            }
        }
        self.leave(pending);
    }

    /// Helps clients that know no broker.
    fn rescue(&self) {
        let Clients { member, fetcher } = &*self.clients;
        member.context().observer.rescue(member.client());
        fetcher.rescue();
    }

    /// Does what it can, and returns what is left to do.
    fn serve(&self, wanted: Rebalance) -> Option<Rebalance> {
        match wanted {
            Rebalance::Assign(partitions) => {
                // What was lost may come back before its loss is dealt with.
                if self.holdings.hold_any(&partitions) {
                    return Some(Rebalance::Assign(partitions));
                }
                if let Err(error) = self.assign(&partitions) {
                    self.holdings.trouble(error);
                    std::thread::sleep(LOOKS_EVERY);
                    return Some(Rebalance::Assign(partitions));
                }
                answer(&self.clients.member, true);
                None
            }
            Rebalance::Revoke(partitions) => {
                let lost = self.clients.member.assignment_lost();
                self.holdings
                    .revoke(&self.clients.fetcher, &partitions, lost);
                self.serve(Rebalance::Releasing(partitions))
            }
            Rebalance::Releasing(partitions) => {
                if self.clients.member.assignment_lost() {
                    // The group has given them to others already: there is nothing to wait for.
                    self.holdings.lose(&partitions);
                } else if self.holdings.hold_any(&partitions) {
                    return Some(Rebalance::Releasing(partitions));
                }
                answer(&self.clients.member, false);
                None
            }
        }
    }

    fn assign(&self, partitions: &[Partition]) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let starts = self.clients.fetcher.starts(partitions)?;
        self.holdings.assign(&self.clients.fetcher, starts)
    }

    /// Troubles of the group's own. Those of connections pass, and the monitor sees them.
    fn heard(&self, error: &KafkaError) {
        if let Some(fatal) = self.fatal() {
            self.holdings.fail(fatal);
            return;
        }
        let fault = match Fault::of(error) {
            Fault::TopicMissing { .. } => Fault::TopicMissing {
                name: "that a group reads".to_owned(),
            },
            fault @ Fault::Forbidden { .. } => fault,
            Fault::Unreachable { .. }
            | Fault::CredentialsRefused { .. }
            | Fault::TlsFailed { .. }
            | Fault::PartitionCount { .. }
            | Fault::TimedOut { .. }
            | Fault::Settings { .. }
            | Fault::Other { .. } => {
                debug!(%error, "as a member of a group");
                return;
            }
        };
        warn!(%fault, "the group can't be joined at present");
        self.holdings.trouble(fault.during("reading as a group"));
    }

    /// Why the member's client is of no use any more, if it isn't.
    fn fatal(&self) -> Option<LogError> {
        let member = &self.clients.member;
        let (code, reason) = member.client().fatal_error()?;
        Some(match code {
            RDKafkaErrorCode::FencedInstanceId => member.context().fenced(),
            _ => Fault::of_code(code, reason).during("reading as a group"),
        })
    }

    /// Gives up everything at once.
    fn leave(self, pending: Option<Rebalance>) {
        self.holdings.clear(&self.clients.fetcher);
        self.clients
            .member
            .context()
            .leaving
            .store(true, Ordering::SeqCst);
        let unanswered = pending.or_else(|| self.clients.member.context().wanted());
        if let Some(unanswered) = unanswered {
            answer(
                &self.clients.member,
                matches!(unanswered, Rebalance::Assign(_)),
            );
        }
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Dropping the client, which happens here unless a commit is under way, tells the group.
        // That of a static member tells it nothing: the partitions rest until somebody joins under
        // its name, or for the session timeout.
    }
}
