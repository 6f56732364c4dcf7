//! Style as a test: what reviewers would otherwise have to look for, every time.

mod crates;
mod documents;
mod modules;
mod sources;
mod text;
