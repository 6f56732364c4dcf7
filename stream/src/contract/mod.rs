//! What every adapter of the log has to do, as checks that run against any of them. An adapter's
//! test makes a [`Subject`] and calls [`run_all`]; each check panics with what it found.

mod appending;
mod durability;
mod groups;
mod reader;
mod reading;

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{Position, Topic};

use crate::{
    admission::Limits,
    clock::ManualClock,
    log::Log,
    record::{NewRecord, Record},
};

/// An adapter under test. Its checks run one after the other.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new, empty log with these bounds.
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log>;

    /// Ends the process that has the log open, as it were, and opens it anew with default bounds.
    /// No other handle of the log is left when this is called.
    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log>;

    /// The clock that the log sets append times by, shared by all its logs; `None` if it can't be
    /// set, in which case the checks that need to are left out.
    fn clock(&self) -> Option<Arc<ManualClock>>;

    /// Stalls or resumes what makes the latest log durable (its disk, its broker). Returns false
    /// if that can't be done, in which case the checks that need it are left out.
    async fn hold_writes(&self, held: bool) -> bool;
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One check.
struct Check {
    name: &'static str,
    run: for<'a> fn(&'a dyn Subject) -> Running<'a>,
}

macro_rules! checks {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$(Check { name: stringify!($name), run: |subject| Box::pin($module::$name(subject)) }),*]
    };
}

const CHECKS: &[Check] = checks![
    appending::positions_are_dense_and_in_the_order_given,
    appending::keys_choose_the_partition_as_in_java,
    appending::a_given_partition_overrides_the_key,
    appending::keys_values_and_headers_are_kept_byte_for_byte,
    appending::a_copy_keeps_its_times,
    appending::an_empty_batch_is_nothing,
    appending::concurrent_appends_keep_their_own_order,
    appending::too_large_a_record_is_refused_and_nothing_is_written,
    appending::too_large_a_batch_is_refused_and_nothing_is_written,
    appending::what_is_in_flight_is_bounded,
    reading::slices_of_a_partition_join_up,
    reading::a_read_stays_within_the_log,
    reading::watermarks_follow_appends_and_trims,
    reading::an_offset_is_found_by_time,
    reading::append_times_never_decrease,
    reading::retention_forgets_by_time,
    durability::a_reopened_log_is_the_same_log,
    durability::a_reopened_log_keeps_its_times_monotone,
    durability::only_what_is_durable_is_acknowledged_and_read,
    durability::a_closed_log_says_so,
    groups::the_first_member_reads_everything,
    groups::a_waiting_member_is_woken,
    groups::commits_are_resumed_from,
    groups::what_was_not_committed_comes_again,
    groups::groups_do_not_disturb_each_other,
    groups::a_member_of_several_topics_is_served_from_all,
    groups::seeking_overrides_the_committed_position,
    groups::a_position_beyond_the_end_is_refused,
    groups::a_trimmed_position_is_refused,
    groups::two_members_share_the_partitions,
    groups::a_revoked_partition_is_drained_first,
    groups::a_vanished_member_is_replaced,
    groups::cancelling_a_wait_loses_nothing,
];

/// Runs every check, in order, printing its name before it starts.
pub async fn run_all(subject: &dyn Subject) {
    for check in CHECKS {
        println!("contract: {}", check.name);
        (check.run)(subject).await;
    }
}

/// A record whose value tells it apart.
fn numbered(key: &str, number: usize) -> NewRecord {
    NewRecord::new(key.to_owned(), format!("{key}-{number}"))
}

/// `count` numbered records for one partition.
fn run_of(partition: i32, count: usize) -> Vec<NewRecord> {
    (0..count)
        .map(|number| numbered("run", number).in_partition(partition))
        .collect()
}

async fn append(log: &dyn Log, topic: Topic, records: Vec<NewRecord>) -> Vec<Position> {
    log.append(topic, records)
        .await
        .expect("the append succeeds")
}

async fn read_all(log: &dyn Log, topic: Topic, partition: i32) -> Vec<Record> {
    let watermarks = log
        .watermarks(topic, partition)
        .await
        .expect("the partition exists");
    let mut records: Vec<Record> = Vec::new();
    let mut offset = watermarks.low;
    while offset < watermarks.high {
        let read = log
            .read(topic, partition, offset, 1_000)
            .await
            .expect("the read succeeds");
        offset = read
            .last()
            .expect("there is more below the high watermark")
            .position
            .offset
            + 1;
        records.extend(read);
    }
    records
}

fn values(records: &[Record]) -> Vec<Bytes> {
    records.iter().map(|record| record.value.clone()).collect()
}

fn offsets(records: &[Record]) -> Vec<i64> {
    records
        .iter()
        .map(|record| record.position.offset)
        .collect()
}
