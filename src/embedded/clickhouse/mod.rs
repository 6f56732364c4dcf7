//! x
/// x
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {}
/// x
pub struct EmbeddedClickHouse;
/// x
pub struct ClickHouseAvailability;
/// x
pub struct ClickHouseOptions;
