//! Ingest over real HTTP on a loopback port, with the log in memory.

mod clicks;
mod edge;
mod faults;
mod flood;
mod postbacks;
mod random;
mod senders;
mod smart_links;
mod sockets;
mod world;
