//! The log in Apache Kafka, against a real broker.

mod cluster;
mod contract;
mod groups;
mod outages;
mod refusals;
mod security;
mod sweep;
mod times;
mod topics;
