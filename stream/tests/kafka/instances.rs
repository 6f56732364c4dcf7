//! Static membership: whoever comes back under its name has what it held at once, and there is one
//! of each name.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use schemas::Topic;
use stream::{
    GroupConsumer, GroupEvent, GroupSettings, Log, LogError,
    kafka::{AppendTimes, KafkaLog, KafkaSettings},
};
use tokio::time::Instant;

use crate::cluster::{self, append, one_each, until};

const TOPIC: Topic = Topic::Payouts;
const GROUP: &str = "group";
/// Far longer than a member that is known takes to have its partitions back. What comes before
/// half of it is over didn't wait for it.
const SESSION: Duration = Duration::from_secs(45);
/// What the other process needs to know.
const BOOTSTRAP: &str = "HISSABACK_TEST_BOOTSTRAP";
const PREFIX: &str = "HISSABACK_TEST_PREFIX";

fn named(name: &str, settings: &KafkaSettings) -> KafkaSettings {
    KafkaSettings {
        group_instance_id: Some(name.parse().unwrap()),
        session_timeout: SESSION,
        ..settings.clone()
    }
}

/// A process of this name, as far as the brokers can tell.
async fn process(name: &str, settings: &KafkaSettings) -> Arc<KafkaLog> {
    cluster::open(&named(name, settings), AppendTimes::Broker).await
}

/// A member, and what it was told.
struct Member {
    consumer: Box<dyn GroupConsumer>,
    held: usize,
    /// How often partitions came or went.
    rebalances: usize,
    read: usize,
}

impl Member {
    async fn join(log: &KafkaLog) -> Self {
        let settings = GroupSettings::default();
        Self {
            consumer: log.join(GROUP, &[TOPIC], settings).await.unwrap(),
            held: 0,
            rebalances: 0,
            read: 0,
        }
    }

    async fn look(&mut self) -> Result<(), LogError> {
        match self.consumer.next(100, Duration::from_millis(50)).await? {
            GroupEvent::Assigned(partitions) => {
                self.held += partitions.len();
                self.rebalances += 1;
            }
            GroupEvent::Revoked(partitions) => {
                self.held -= partitions.len();
                self.rebalances += 1;
                self.consumer.release(partitions).await?;
            }
            GroupEvent::Records(records) => self.read += records.len(),
            GroupEvent::Idle => {}
        }
        Ok(())
    }

    /// Looks until it holds so many partitions.
    async fn until_held(&mut self, count: usize) {
        until("partitions are assigned", async || {
            self.look().await.unwrap();
            self.held == count
        })
        .await;
    }
}

/// Looks until these members hold so many partitions each.
async fn until_shared<const N: usize>(members: &mut [&mut Member; N], counts: [usize; N]) {
    until("partitions are shared out", async || {
        for member in &mut *members {
            member.look().await.unwrap();
        }
        members
            .iter()
            .zip(counts)
            .all(|(member, count)| member.held == count)
    })
    .await;
}

/// Ends another process that the test has started, however the test ends.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_has_its_partitions_back_and_the_others_notice_nothing() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    let other = process("other", &settings).await;
    let mut other = Member::join(&other).await;
    other.until_held(6).await;

    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("instances::is_a_member_and_waits")
        .env(BOOTSTRAP, &settings.brokers)
        .env(PREFIX, &settings.topic_prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut killed = Killed(child);
    let said = BufReader::new(killed.0.stdout.take().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            // The test may have failed.
            let _ = tell.send(line);
        }
    });
    until("the other process has its share", async || {
        other.look().await.unwrap();
        told.try_recv()
            .is_ok_and(|line| line.contains("it holds 3"))
    })
    .await;
    killed.kill();
    let rebalances = other.rebalances;
    append(&*log, TOPIC, one_each(TOPIC, 1)).await;

    let restarted = Instant::now();
    let again = process("killed", &settings).await;
    let mut again = Member::join(&again).await;
    until("its records are read", async || {
        again.look().await.unwrap();
        other.look().await.unwrap();
        again.read == 3 && other.read == 3
    })
    .await;
    assert!(
        restarted.elapsed() < SESSION / 2,
        "{:?}",
        restarted.elapsed()
    );
    assert_eq!((again.held, again.rebalances), (3, 1));
    assert_eq!(other.rebalances, rebalances, "nothing was taken or given");
}

/// The other process of the test above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_killed_process_has_its_partitions_back_and_the_others_notice_nothing"]
async fn is_a_member_and_waits() {
    let mut settings = KafkaSettings::new(env::var(BOOTSTRAP).unwrap());
    settings.topic_prefix = env::var(PREFIX).unwrap();
    let log = process("killed", &settings).await;
    let mut member = Member::join(&log).await;
    member.until_held(3).await;
    println!("it holds {}", member.held);
    tokio::time::sleep(SESSION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_the_same_name_shuts_the_first_one_out() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    let log = cluster::fresh(&settings).await;
    let first = process("same", &settings).await;
    let mut first = Member::join(&first).await;
    first.until_held(6).await;
    append(&*log, TOPIC, one_each(TOPIC, 1)).await;
    until("the first one has read", async || {
        first.look().await.unwrap();
        first.read == 6
    })
    .await;
    first.consumer.commit(TOPIC, 0, 1).await.unwrap();

    let second = process("same", &settings).await;
    let mut second = Member::join(&second).await;
    second.until_held(6).await;
    // It may not have heard of it yet, and what it commits now is refused all the same.
    let refused = first.consumer.commit(TOPIC, 1, 1).await.unwrap_err();
    let fenced = |error: &LogError| {
        matches!(error, LogError::Fenced { group, instance_id }
            if group == GROUP && instance_id == "same-0")
    };
    assert!(fenced(&refused), "{refused}");
    assert!(!refused.temporary());
    let mut ended = None;
    until("the first one hears of it", async || {
        ended = first.look().await.err();
        ended.is_some()
    })
    .await;
    assert!(ended.as_ref().is_some_and(fenced), "{ended:?}");
    // For good: it doesn't come back by itself.
    assert!(first.look().await.is_err_and(|error| fenced(&error)));

    assert_eq!(log.committed(GROUP, TOPIC, 1).await.unwrap(), None);
    until(
        "the second one goes on where the first one stood",
        async || {
            second.look().await.unwrap();
            second.read == 5
        },
    )
    .await;
    second.consumer.commit(TOPIC, 1, 1).await.unwrap();
    assert_eq!(log.committed(GROUP, TOPIC, 1).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_one_process_have_names_of_their_own() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    cluster::make_topics(&settings, stream::kafka::topics::TopicTimes::Broker).await;
    let log = process("several", &settings).await;
    let (mut one, mut two) = (Member::join(&log).await, Member::join(&log).await);
    until_shared(&mut [&mut one, &mut two], [3, 3]).await;

    // One that gives up and joins again, as after a failure, is the same one to the group.
    let rebalances = two.rebalances;
    drop(one);
    let began = Instant::now();
    let mut one = Member::join(&log).await;
    until_shared(&mut [&mut one, &mut two], [3, 3]).await;
    // And one that leaves orderly, as well.
    one.consumer.leave().await.unwrap();
    let mut one = Member::join(&log).await;
    until_shared(&mut [&mut one, &mut two], [3, 3]).await;
    assert!(began.elapsed() < SESSION / 2, "{:?}", began.elapsed());
    assert_eq!(two.rebalances, rebalances, "nothing was taken or given");
}

/// What an orderly end of a static member costs the others, unless it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_held_that_does_not_come_back_is_shared_out_after_its_session() {
    let settings = cluster::settings(cluster::shared().bootstrap());
    cluster::make_topics(&settings, stream::kafka::topics::TopicTimes::Broker).await;
    let process = async |name| {
        let settings = KafkaSettings {
            session_timeout: Duration::from_secs(6),
            ..named(name, &settings)
        };
        cluster::open(&settings, AppendTimes::Broker).await
    };
    let (stays, goes) = (process("stays").await, process("goes").await);
    let (mut stays, mut goes) = (Member::join(&stays).await, Member::join(&goes).await);
    until_shared(&mut [&mut stays, &mut goes], [3, 3]).await;
    goes.consumer.leave().await.unwrap();
    let left = Instant::now();
    stays.until_held(6).await;
    assert!(
        left.elapsed() > Duration::from_secs(3),
        "{:?}",
        left.elapsed()
    );
}
