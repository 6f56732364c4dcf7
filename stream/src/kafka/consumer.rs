//! A member of a group, as the port has it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionListElem,
};
use schemas::Topic;
use tokio::{sync::Notify, time::Instant};
use tracing::error;

use super::{
    condition::{Condition, Observer},
    fault::Fault,
    fetcher::Fetcher,
    gathering::Gathered,
    holdings::{Changes, Holdings},
    instances::Instance,
    membership::{ClientSlot, Clients, Member, Membership},
    settings::{KafkaSettings, member_client},
    stranded::watched,
};
use crate::{
    error::LogError,
    group::check_within,
    log::{GroupConsumer, GroupEvent, GroupSettings, Partition, check_partition},
};

/// How far ahead "as good as never" lies, for a wait that overflows the clock.
const FAR: Duration = Duration::from_hours(24 * 365);
/// How long a commit is tried while the group settles.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// And how often.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

/// What a member is to be.
pub(super) struct Seat<'a> {
    pub(super) group: &'a str,
    pub(super) topics: &'a [Topic],
    pub(super) instance: Option<Instance>,
}

/// A member of a group, and its thread.
pub(super) struct KafkaConsumer {
    settings: KafkaSettings,
    group_settings: GroupSettings,
    clients: ClientSlot,
    holdings: Arc<Holdings>,
    wake: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    /// Free for the next member as soon as this one is dropped: whoever has it then gets the
    /// partitions at once, and what is left of this member is shut out.
    _instance: Option<Instance>,
}

impl KafkaConsumer {
    pub(super) fn join(
        settings: &KafkaSettings,
        condition: &Arc<Condition>,
        seat: Seat<'_>,
        group_settings: GroupSettings,
    ) -> Result<Self, LogError> {
        const DOING: &str = "joining a group";
        let fault = |error: KafkaError| Fault::of(&error).during(DOING);
        let wake = Arc::new(Notify::new());
        let holdings = Holdings::new(Arc::clone(&wake));
        let observer = Observer::new(condition);
        let Seat {
            group,
            topics,
            instance,
        } = seat;
        let instance_id = instance.as_ref().map(Instance::id);
        let member = Member::new(observer, settings.clone(), group, instance_id);
        let config = watched(member_client(settings, group, instance_id));
        let member: BaseConsumer<Member> =
            BaseConsumer::from_config_and_context(&config, member).map_err(fault)?;
        let fetcher = Fetcher::new(
            settings.clone(),
            Arc::clone(condition),
            group,
            // One batch in hand, one on its way.
            group_settings.bytes_max * 2,
            Arc::clone(&wake),
        )
        .map_err(fault)?;
        let names: Vec<String> = topics
            .iter()
            .map(|topic| settings.topic_name(*topic))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        member.subscribe(&names).map_err(fault)?;
        let clients = Arc::new(Clients { member, fetcher });
        let slot: ClientSlot = Arc::new(Mutex::new(Some(Arc::clone(&clients))));
        let membership = Membership {
            clients,
            slot: Arc::clone(&slot),
            holdings: Arc::clone(&holdings),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || membership.run())
            .map_err(|error| LogError::storage("starting a member's thread", error))?;
        Ok(Self {
            settings: settings.clone(),
            group_settings,
            clients: slot,
            holdings,
            wake,
            thread: Some(thread),
            _instance: instance,
        })
    }

    pub(super) fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// Fails once the member has left.
    fn clients(&self) -> Result<Arc<Clients>, LogError> {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(LogError::Closed)
    }

    /// An event, if there is one now.
    async fn ready(&mut self, records_max: usize) -> Result<Option<GroupEvent>, LogError> {
        self.holdings.check_open()?;
        if let Some(event) = self.holdings.untold()? {
            return Ok(Some(event));
        }
        let bytes_max = self.group_settings.bytes_max;
        match self.holdings.gather(records_max, bytes_max)? {
            Gathered::Records(records) => Ok(Some(GroupEvent::Records(records))),
            Gathered::Nothing => Ok(None),
            Gathered::OutOfRange(partition, next) => {
                let clients = self.clients()?;
                let holdings = Arc::clone(&self.holdings);
                blocking(move || {
                    let watermarks = clients.fetcher.watermarks(partition)?;
                    let refused = check_within(partition, next, watermarks).err();
                    match refused {
                        Some(refused) => {
                            holdings.refuse(partition, refused.clone());
                            Err(refused)
                        }
                        // Within the bounds by now, such as after a change of leaders.
                        None => holdings
                            .seek(&clients.fetcher, partition, next, watermarks.high)
                            .map(|()| None),
                    }
                })
                .await
            }
        }
    }
}

/// Commits, trying again while the group settles: until every member has its new share, the
/// broker takes no commits, although these partitions may stay here.
fn commit_blocking(
    client: &BaseConsumer<Member>,
    settings: &KafkaSettings,
    holdings: &Holdings,
    moved: &[(Partition, i64)],
) -> Result<(), LogError> {
    const DOING: &str = "committing";
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in moved {
        offsets
            .add_partition_offset(
                &settings.topic_name(*topic),
                *partition,
                Offset::Offset(*offset),
            )
            .map_err(|error| Fault::of(&error).during(DOING))?;
    }
    let deadline = std::time::Instant::now() + COMMIT_WITHIN;
    loop {
        let committed = client.commit(&offsets, CommitMode::Sync).and_then(|()| {
            offsets
                .elements()
                .iter()
                .try_for_each(TopicPartitionListElem::error)
        });
        let Err(error) = committed else {
            holdings.committed(moved);
            return Ok(());
        };
        // Lost meanwhile?
        holdings.changes(moved)?;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::FencedInstanceId) => return Err(client.context().fenced()),
            // The group has gone on without this member. Where it hasn't given the partitions to
            // somebody else, the member gets them back by joining, and nobody reads them again.
            Some(
                RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::WaitingForCoordinator,
            ) if std::time::Instant::now() < deadline => std::thread::sleep(COMMIT_EVERY),
            Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::AssignmentLost,
            ) => {
                let ((topic, partition), _) = moved[0];
                return Err(LogError::NotAssigned { topic, partition });
            }
            _ => return Err(Fault::of(&error).during(DOING)),
        }
    }
}

/// Away from the asynchronous threads. Goes on to its end if the caller stops waiting.
pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(ask)
        .await
        .map_err(|error| LogError::storage("asking the brokers", error))?
}

#[async_trait]
impl GroupConsumer for KafkaConsumer {
    async fn next(&mut self, records_max: usize, wait: Duration) -> Result<GroupEvent, LogError> {
        // A reader that is never at the end would otherwise keep its thread to itself.
        tokio::task::coop::consume_budget().await;
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now + FAR);
        let wake = Arc::clone(&self.wake);
        loop {
            // Registered before looking, so that what happens in between wakes the wait below.
            let mut woken = std::pin::pin!(wake.notified());
            woken.as_mut().enable();
            if let Some(event) = self.ready(records_max).await? {
                return Ok(event);
            }
            if Instant::now() >= deadline {
                return Ok(GroupEvent::Idle);
            }
            let _ = tokio::time::timeout_at(deadline, woken).await;
        }
    }

    async fn seek(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), LogError> {
        self.holdings.check_open()?;
        let partition = check_partition(topic, partition)?;
        self.holdings.check_reading(partition)?;
        let clients = self.clients()?;
        let holdings = Arc::clone(&self.holdings);
        blocking(move || {
            let watermarks = clients.fetcher.watermarks(partition)?;
            check_within(partition, offset, watermarks)?;
            holdings.seek(&clients.fetcher, partition, offset, watermarks.high)
        })
        .await
    }

    async fn commit_all(&mut self, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        self.holdings.check_open()?;
        let Changes { moved, beyond } = self.holdings.changes(next_offsets)?;
        if moved.is_empty() {
            return Ok(());
        }
        let clients = self.clients()?;
        let settings = self.settings.clone();
        let holdings = Arc::clone(&self.holdings);
        blocking(move || {
            for ((topic, partition), offset) in beyond {
                let end = clients.fetcher.watermarks((topic, partition))?.high;
                if offset > end {
                    return Err(LogError::PositionBeyondEnd {
                        topic,
                        partition,
                        offset,
                        end,
                    });
                }
            }
            commit_blocking(&clients.member, &settings, &holdings, &moved)
        })
        .await
    }

    async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), LogError> {
        self.holdings.check_open()?;
        self.holdings.release(partitions)
    }

    async fn leave(mut self: Box<Self>) -> Result<(), LogError> {
        self.holdings.stop();
        let thread = self.thread.take();
        if let Some(thread) = thread {
            blocking(move || {
                if thread.join().is_err() {
                    error!("a member's thread had panicked");
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        // The thread leaves the group on its own.
        self.holdings.stop();
    }
}
