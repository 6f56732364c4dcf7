//! The whole product on Apache Kafka and a schema registry, each role a process of its own: that
//! instances share the work, and that nothing is lost or doubled when processes and brokers die.

mod demo;
mod http;
mod installation;
mod instances;
mod log_copy;
mod outages;
mod records;
mod strangers;
