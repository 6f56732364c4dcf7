//! The embedded log against the two ways in which a process ends badly: killed at any moment, and
//! a disk that takes no more. The child process is this executable again.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use schemas::Topic;
use stream::{
    AppendError, EmbeddedLog, EmbeddedOptions, GroupEvent, GroupSettings, Health, Limits, Log,
    LogError, NewRecord, Record, Refusal, SystemClock,
};

const DIRECTORY: &str = "STREAM_TEST_DIRECTORY";
const ROUND: &str = "STREAM_TEST_ROUND";
const TOPIC: Topic = Topic::Conversions;

fn open(directory: &Path, limits: Limits) -> Arc<EmbeddedLog> {
    let options = EmbeddedOptions {
        limits,
        ..EmbeddedOptions::default()
    };
    EmbeddedLog::open(directory, Arc::new(SystemClock), options).unwrap()
}

/// This executable, to run one of its ignored tests.
fn child(test: &str, directory: &Path, shell_first: Option<&str>) -> Command {
    let executable = std::env::current_exe().unwrap();
    let mut command = match shell_first {
        Some(script) => {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &format!("{script}; exec \"$0\" \"$@\"")])
                .arg(executable);
            shell
        }
        None => Command::new(executable),
    };
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// One line to the parent, at once: what is printed happened before the kill.
fn report(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

async fn read_all(log: &dyn Log, partition: i32) -> Vec<Record> {
    let watermarks = log.watermarks(TOPIC, partition).await.unwrap();
    let mut records: Vec<Record> = Vec::new();
    while i64::try_from(records.len()).unwrap() < watermarks.high {
        let offset = i64::try_from(records.len()).unwrap();
        records.extend(log.read(TOPIC, partition, offset, 10_000).await.unwrap());
    }
    records
}

/// Batches of different sizes from several tasks, over all partitions. Each value names its batch:
/// `round-task-batch/size`.
async fn append_for_ever(log: Arc<EmbeddedLog>, round: String, task: usize) {
    for batch in 0_usize.. {
        let size = 1 + (batch * 7 + task) % 23;
        let name = format!("{round}-{task}-{batch}/{size}");
        let records = (0..size)
            .map(|part| NewRecord::new(part.to_string(), name.clone()))
            .collect();
        let positions = log.append(TOPIC, records).await.unwrap();
        for position in positions {
            report(&format!(
                "ack {} {} {name}",
                position.partition, position.offset
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of a_kill_loses_nothing_that_was_acknowledged"]
async fn appends_until_killed() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let round = std::env::var(ROUND).unwrap();
    let log = open(Path::new(&directory), Limits::default());
    for task in 0..4 {
        tokio::spawn(append_for_ever(log.clone(), round.clone(), task));
    }
    let mut consumer = log
        .join("group", &[TOPIC], GroupSettings::default())
        .await
        .unwrap();
    loop {
        if let GroupEvent::Records(records) =
            consumer.next(50, Duration::from_secs(1)).await.unwrap()
        {
            let last = records.last().unwrap().position;
            consumer
                .commit(TOPIC, last.partition, last.offset + 1)
                .await
                .unwrap();
            report(&format!("commit {} {}", last.partition, last.offset + 1));
        }
    }
}

/// What the child said before it died.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeMap<(i32, i64), String>,
    committed: BTreeMap<i32, i64>,
}

impl Heard {
    /// The last line may be torn.
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", partition, offset, name] => {
                let at = (partition.parse().unwrap(), offset.parse().unwrap());
                let before = self.acknowledged.insert(at, name.to_owned());
                assert_eq!(before, None, "{at:?} was acknowledged twice");
            }
            ["commit", partition, next_offset] => {
                let (partition, next_offset) =
                    (partition.parse().unwrap(), next_offset.parse().unwrap());
                self.committed.insert(partition, next_offset);
            }
            _ => {}
        }
    }
}

fn run_and_kill(directory: &Path, round: usize, heard: &mut Heard) {
    let kill_after = heard.acknowledged.len() + 100 + round * 333;
    let mut child = child("appends_until_killed", directory, None)
        .env(ROUND, round.to_string())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut killed = false;
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some(whole) = line.strip_suffix('\n') {
            heard.take(whole);
        }
        line.clear();
        if !killed && heard.acknowledged.len() >= kill_after {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut heard = Heard::default();
    for round in 0..5 {
        run_and_kill(directory.path(), round, &mut heard);
        let log = open(directory.path(), Limits::default());
        assert_eq!(log.health(), Health::Ready);
        let mut batches: BTreeMap<String, usize> = BTreeMap::new();
        for partition in 0..TOPIC.partitions() {
            let records = read_all(&*log, partition).await;
            let mut last_batch: BTreeMap<String, usize> = BTreeMap::new();
            for (record, offset) in records.iter().zip(0..) {
                assert_eq!(record.position.offset, offset);
                let name = String::from_utf8(record.value.to_vec()).unwrap();
                if let Some(acknowledged) = heard.acknowledged.get(&(partition, offset)) {
                    assert_eq!(*acknowledged, name);
                }
                let (appender, batch) = name.split_once('/').unwrap().0.rsplit_once('-').unwrap();
                let batch = batch.parse().unwrap();
                let before = last_batch.insert(appender.to_owned(), batch);
                assert!(before <= Some(batch), "{name} comes after batch {before:?}");
                *batches.entry(name).or_default() += 1;
            }
            assert!(records.is_sorted_by_key(|record| record.appended_at));
            let end = i64::try_from(records.len()).unwrap();
            let lost = heard
                .acknowledged
                .range((partition, end)..=(partition, i64::MAX))
                .next();
            assert_eq!(lost, None, "acknowledged and lost");
            let committed = log.committed("group", TOPIC, partition).await.unwrap();
            assert!(committed >= heard.committed.get(&partition).copied());
            assert!(committed <= Some(end));
            // A commit may have become durable without being heard of.
            heard
                .committed
                .extend(committed.map(|next_offset| (partition, next_offset)));
        }
        for (name, count) in batches {
            let size: usize = name.split_once('/').unwrap().1.parse().unwrap();
            assert_eq!(count, size, "batch {name} was torn");
        }
        log.close().await;
    }
}

/// 20 records of 1 MiB that don't compress.
fn bulk(batch: u64) -> Vec<NewRecord> {
    let mut state = batch + 1;
    (0..20)
        .map(|number| {
            let value: Vec<u8> = (0..(1 << 20) / 8 - 8)
                .flat_map(|_| {
                    // xorshift64
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()
                })
                .collect();
            NewRecord::new(format!("{batch}-{number}"), value).in_partition(0)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of a_full_disk_is_never_acknowledged"]
async fn appends_until_the_disk_is_full() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let log = open(Path::new(&directory), Limits::default());
    let mut appended = 0;
    let failure = loop {
        match log.append(TOPIC, bulk(appended)).await {
            Ok(_) => appended += 1,
            Err(failure) => break failure,
        }
    };
    assert!(
        matches!(failure, AppendError::Indeterminate(_)),
        "{failure:?}"
    );
    assert!(
        matches!(log.health(), Health::Failed { .. }),
        "{:?}",
        log.health()
    );
    // From here on nothing is even tried.
    let small = vec![NewRecord::new("key", "value").in_partition(0)];
    let refused = log.append(TOPIC, small).await.unwrap_err();
    assert!(
        matches!(
            refused,
            AppendError::Determinate(Refusal::Unavailable(LogError::Failed { .. }))
        ),
        "{refused:?}"
    );
    // What was acknowledged can still be read.
    let last = i64::try_from(appended * 20).unwrap() - 1;
    assert_eq!(log.read(TOPIC, 0, last, 10).await.unwrap().len(), 1);
    report(&format!("appended {appended}"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_never_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // Files may grow to 66 MiB (in units of 512 bytes): the store's journal begins with 64, and
    // the fourth batch takes it beyond. Writing more is then an error instead of a signal.
    let limit = "trap '' XFSZ; ulimit -f 135168";
    let output = child(
        "appends_until_the_disk_is_full",
        directory.path(),
        Some(limit),
    )
    .output()
    .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let appended: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("appended "))
        .unwrap_or_else(|| panic!("no report in {text}"))
        .parse()
        .unwrap();
    assert_eq!(appended, 3);

    let log = open(directory.path(), Limits::default());
    let records = read_all(&*log, 0).await;
    // The batch of unknown fate is there as a whole or not at all.
    assert!(
        records.len() == 60 || records.len() == 80,
        "{} records",
        records.len()
    );
    let written = (0..4).flat_map(bulk);
    for (record, written) in records.iter().zip(written) {
        assert!((&record.key, &record.value) == (&written.key, &written.value));
    }
    let again = log
        .append(TOPIC, vec![NewRecord::new("key", "value").in_partition(0)])
        .await;
    assert_eq!(
        again.unwrap()[0].offset,
        i64::try_from(records.len()).unwrap()
    );
}

#[tokio::test]
#[ignore = "the child process of one_process_at_a_time"]
async fn finds_the_log_in_use() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let opened = EmbeddedLog::open(
        &directory,
        Arc::new(SystemClock),
        EmbeddedOptions::default(),
    );
    match opened {
        Err(refused @ LogError::InUse { .. }) => report(&refused.to_string()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened twice"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), Limits::default());
    let output = child("finds_the_log_in_use", directory.path(), None)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("in use by another process"), "{text}");
    // It did no harm.
    log.append(TOPIC, vec![NewRecord::new("key", "value")])
        .await
        .unwrap();
}
