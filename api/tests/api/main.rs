//! The API over a database: who gets in, what they see, and what they can't.

mod browser;
mod fuzz;
mod isolation;
mod lists;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;
mod resources;
mod shop;
mod sign_in;
mod widget;
mod widget_safety;
mod widget_served;
mod world;
