//! The `hissaback` binary's library: command line, configuration, roles, embedded services, demo.

pub mod commands;
pub mod configuration;
pub mod demo;
pub mod embedded;
pub mod platform;
pub mod roles;
pub mod schedules;
pub mod secrets;
