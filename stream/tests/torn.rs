//! A power cut may leave any part of what was written last. Whatever is left, the log opens, and
//! holds the appends up to some moment, each as a whole.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemas::Topic;
use stream::{EmbeddedLog, EmbeddedOptions, Health, Log, NewRecord, SystemClock};

const TOPIC: Topic = Topic::Commands;
const BATCHES: i64 = 12;

fn open(directory: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(directory, Arc::new(SystemClock), EmbeddedOptions::default()).unwrap()
}

/// One record for every partition, so that a torn batch shows.
fn batch(number: i64) -> Vec<NewRecord> {
    (0..TOPIC.partitions())
        .map(|partition| {
            NewRecord::new("key", format!("{number}-{partition}"))
                .with_header("size", vec![7; 300])
                .in_partition(partition)
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store's write-ahead file.
fn journal(directory: &Path) -> PathBuf {
    let mut journals: Vec<PathBuf> = fs::read_dir(directory.join("log/store"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

/// How many batches the log holds, having checked that each is whole.
async fn whole_batches(log: &dyn Log) -> i64 {
    let batches = log.watermarks(TOPIC, 0).await.unwrap().high;
    for partition in 0..TOPIC.partitions() {
        let high = log.watermarks(TOPIC, partition).await.unwrap().high;
        assert_eq!(high, batches, "a batch was torn");
        let records = log.read(TOPIC, partition, 0, 100).await.unwrap();
        for (record, number) in records.iter().zip(0..) {
            assert_eq!(record.value, format!("{number}-{partition}"));
            assert_eq!(record.headers[0].value.len(), 300);
        }
    }
    batches
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_leaves_whole_batches() {
    let original = tempfile::tempdir().unwrap();
    let log = open(original.path());
    for number in 0..BATCHES {
        log.append(TOPIC, batch(number)).await.unwrap();
    }
    log.close().await;
    drop(log);
    // The file was made larger than what is in it.
    let content = fs::read(journal(original.path())).unwrap();
    let written = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;

    let mut seen = Vec::new();
    for step in 0..=30 {
        let cut = written * step / 30;
        let damaged = tempfile::tempdir().unwrap();
        copy_folder(original.path(), damaged.path());
        // Cut off in one case; in the other the file has its length, and the end never arrived.
        let mut rest = content[..cut].to_vec();
        if step % 2 == 0 {
            rest.resize(written + 4096, 0);
        }
        fs::write(journal(damaged.path()), rest).unwrap();

        let log = open(damaged.path());
        assert_eq!(log.health(), Health::Ready);
        let batches = whole_batches(&*log).await;
        log.append(TOPIC, batch(batches)).await.unwrap();
        log.close().await;
        drop(log);
        assert_eq!(whole_batches(&*open(damaged.path())).await, batches + 1);
        seen.push(batches);
    }
    assert!(seen.is_sorted(), "a longer rest holds more: {seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&BATCHES)));
}
