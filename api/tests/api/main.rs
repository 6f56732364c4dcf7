//! The API over a database: who gets in, what they see, and what they can't.

mod isolation;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;
mod resources;
mod sign_in;
mod world;
