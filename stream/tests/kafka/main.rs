//! The log in Apache Kafka, against a real broker.

mod cluster;
mod contract;
mod groups;
mod instances;
mod outages;
mod proxy;
mod refusals;
mod security;
mod sweep;
mod times;
mod topics;
