//! Brokers that are down at the start, go away, and come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use schemas::Topic;
use stream::{
    Log,
    broker::{BrokerOptions, KafkaBroker},
};

use crate::{
    http::{click, order, request, sell, until},
    installation::{Installation, Instance},
};

const SALES: u32 = 80;

/// Says on `/health` that the log is what it lacks, and asks senders to come again.
fn refuses(ingest: &Instance) -> bool {
    let Some((503, health)) = ingest.health() else {
        return false;
    };
    let health: serde_json::Value = serde_json::from_str(&health).expect("JSON");
    let log = &health["components"]["log"];
    if log["state"] != "failing" {
        return false;
    }
    assert!(log["detail"].is_string(), "{health:#}");
    let refused = request(ingest.address, "POST /v1/events/click", &click(0));
    refused.is_some_and(|answer| answer.unavailable())
}

#[test]
fn an_outage_of_the_brokers_is_told_and_loses_nothing_acknowledged() {
    let broker = KafkaBroker::start(BrokerOptions::default());
    let broker = broker.unwrap_or_else(|error| panic!("{error}"));
    // Without a registry: each process has its own.
    let installation = Installation::make("outages", broker.bootstrap(), None);

    broker.kill().expect("it runs");
    let ingest = installation.launch("ingest", 0);
    until("it says that the log is away", || refuses(&ingest));
    broker.restart().unwrap_or_else(|error| panic!("{error}"));
    ingest.wait_until_up();

    let sold = Arc::new(AtomicU32::new(0));
    let sender = {
        let (sold, addresses) = (Arc::clone(&sold), [ingest.address]);
        thread::spawn(move || {
            for sale in 0..SALES {
                sell(&addresses, sale);
                sold.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    until("sales are accepted", || {
        sold.load(Ordering::Relaxed) > SALES / 4
    });
    broker.kill().expect("it runs");
    until("it says that the log is away again", || refuses(&ingest));
    let before = sold.load(Ordering::Relaxed);
    assert!(before < SALES, "the broker was away too late");
    broker.restart().unwrap_or_else(|error| panic!("{error}"));
    sender.join().expect("every sale was accepted in the end");
    assert_eq!(ingest.health().map(|(status, _)| status), Some(200));

    let log = installation.raw_log();
    let reports = installation.read_all(&log, Topic::Conversions);
    for sale in 0..SALES {
        let order = order(sale);
        let kept = reports.iter().any(|report| {
            let value = &report.value;
            value
                .windows(order.len())
                .any(|part| part == order.as_bytes())
        });
        assert!(kept, "{order} was accepted and is not in the log");
    }
    installation.runtime.block_on(log.close());
    ingest.stop();
    installation.end();
}
