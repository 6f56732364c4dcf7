//! Measures how long appends take for each linger. By hand, since it asserts nothing:
//! `cargo test -p stream --test kafka -- --ignored --nocapture sweep`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use schemas::Topic;
use stream::{Log, NewRecord};

use crate::cluster;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn sweep_over_linger() {
    println!("linger  at once  appends/s  p50      p99");
    for linger_ms in [0, 1, 5, 20] {
        let mut settings = cluster::settings(cluster::shared().bootstrap());
        settings.linger = Duration::from_millis(linger_ms);
        let log = cluster::fresh(&settings).await;
        for at_once in [1, 64, 1024] {
            let each = (20_000 / at_once).min(500);
            let started = Instant::now();
            let appenders: Vec<_> = (0..at_once)
                .map(|appender| {
                    let log = Arc::clone(&log);
                    tokio::spawn(async move {
                        let mut took = Vec::with_capacity(each);
                        for number in 0..each {
                            let key = format!("{appender}-{number}");
                            let record = NewRecord::new(key, vec![b'x'; 600]);
                            let started = Instant::now();
                            log.append(Topic::Conversions, vec![record]).await.unwrap();
                            took.push(started.elapsed());
                        }
                        took
                    })
                })
                .collect();
            let mut took = Vec::new();
            for appender in appenders {
                took.extend(appender.await.unwrap());
            }
            let rate = took.len() as u128 * 1_000 / started.elapsed().as_millis().max(1);
            took.sort_unstable();
            let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
            println!("{linger_ms:>4} ms {at_once:>8} {rate:>10}  {p50:>7.1?}  {p99:>7.1?}");
        }
    }
}
