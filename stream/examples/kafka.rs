//! Runs a Kafka broker and a schema registry on loopback until Ctrl-C, to try the product without
//! containers: `make kafka`.
//!
//! An argument names a directory in which the broker keeps its data; without one, they go with it.
//! (The registry keeps its schemas in memory.)

use std::env;
use std::error::Error;
use std::time::Instant;

use stream::broker::{BrokerOptions, KafkaBroker, RegistryServer};

/// Kafka's and the registry's usual ports.
const PORT: u16 = 9092;
const REGISTRY_PORT: u16 = 8081;

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let broker = KafkaBroker::start(BrokerOptions {
        directory: env::args_os().nth(1).map(Into::into),
        port: Some(PORT),
        ..BrokerOptions::default()
    })?;
    println!("KAFKA_BROKERS={}", broker.bootstrap());
    let registry = RegistryServer::start_on(REGISTRY_PORT)?;
    println!("SCHEMA_REGISTRY_URL={}", registry.url());
    println!("ready after {:.1?}; Ctrl-C ends both", begin.elapsed());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    broker.stop()?;
    registry.kill()?;
    Ok(())
}
