//! The contract suite.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use stream::{
    Limits, Log, ManualClock,
    broker::BrokerOptions,
    contract::{self, Subject},
    kafka::{AppendTimes, InstanceName, KafkaSettings, topics},
};
use tokio::net::TcpListener;

use crate::{cluster, proxy::Proxy};

struct Kafka {
    /// Where clients find the broker, through the proxy.
    bootstrap: String,
    proxy: Proxy,
    /// What members are called, if anything.
    name: Option<InstanceName>,
    latest: Mutex<Option<KafkaSettings>>,
}

#[async_trait]
impl Subject for Kafka {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        let former = self.latest.lock().unwrap().take();
        if let Some(former) = former {
            topics::delete_all(&former).await.unwrap();
        }
        let mut settings = KafkaSettings {
            limits,
            ..cluster::settings(&self.bootstrap)
        };
        if self.name.is_some() {
            settings.group_instance_id.clone_from(&self.name);
            // What somebody held that is gone rests for so long.
            settings.session_timeout = Duration::from_secs(2);
        }
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
        // Append times are the broker's: `times` has these checks.
        None
    }

    async fn hold_writes(&self, held: bool) -> bool {
        self.proxy.hold(held);
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract() {
    run_all_as(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_the_contract_for_members_with_names() {
    run_all_as(Some("contract".parse().unwrap())).await;
}

async fn run_all_as(name: Option<InstanceName>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bootstrap = listener.local_addr().unwrap().to_string();
    let advertised = format!("PLAIN://{bootstrap}");
    let broker = cluster::own(BrokerOptions::default().with("advertised.listeners", advertised));
    let subject = Kafka {
        proxy: Proxy::start(listener, broker.bootstrap().parse().unwrap()),
        bootstrap,
        name,
        latest: Mutex::default(),
    };
    contract::run_all(&subject).await;
}
