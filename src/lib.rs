//! The `hissaback` binary's library: command line, configuration, roles, embedded services.

pub mod demo;
pub mod embedded;
