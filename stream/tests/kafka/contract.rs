//! The contract suite.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stream::{
    Limits, Log, ManualClock,
    contract::{self, Subject},
    kafka::{AppendTimes, KafkaSettings, topics},
};

use crate::cluster;

struct Kafka {
    latest: Mutex<Option<KafkaSettings>>,
}

#[async_trait]
impl Subject for Kafka {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        let former = self.latest.lock().unwrap().take();
        if let Some(former) = former {
            topics::delete_all(&former).await.unwrap();
        }
        let settings = KafkaSettings {
            limits,
            ..cluster::settings(cluster::shared().bootstrap())
        };
        let log = cluster::fresh(&settings).await;
        *self.latest.lock().unwrap() = Some(settings);
        log
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        log.close().await;
        drop(log);
        let settings = self.latest.lock().unwrap().clone().unwrap();
        let settings = KafkaSettings {
            limits: Limits::default(),
            ..settings
        };
        cluster::open(&settings, AppendTimes::Broker).await
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        // Append times are the broker's: see `times`.
        None
    }

    async fn hold_writes(&self, _held: bool) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract() {
    let subject = Kafka {
        latest: Mutex::default(),
    };
    contract::run_all(&subject).await;
}
