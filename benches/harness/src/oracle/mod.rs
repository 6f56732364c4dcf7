//! What every run is held against: the same record, evidence and verdict as under kills.

#[expect(dead_code, reason = "no benchmark makes gift cards")]
#[path = "../../../../tests/kill/evidence.rs"]
pub mod evidence;
#[expect(dead_code, reason = "the generator writes what is kept by itself")]
#[path = "../../../../tests/kill/record.rs"]
pub mod record;
#[path = "../../../../tests/kill/verdict.rs"]
pub mod verdict;
