//! The rules of `processors`, without the log and its client libraries that its stage needs.

#[path = "../../../processors/src/rules/mod.rs"]
pub mod rules;
