//! Ingest over real HTTP on a loopback port, with the log in memory.

mod clicks;
mod faults;
mod postbacks;
mod random;
mod sockets;
mod world;
