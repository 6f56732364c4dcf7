use clickhouse::Row;
use processors::stage::Origin;
use schemas::{UserId, events::ClickRecorded};
use serde::Serialize;

use super::{
    super::names::Name,
    column::{Identifier, Instant, text},
};

/// A row of `clicks`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct ClickRow {
    pub click_id: i64,
    pub clicked_at: Instant,
    pub received_at: Instant,
    pub tenant_id: Identifier,
    pub campaign_id: Identifier,
    pub link_id: Identifier,
    pub offer_id: i32,
    pub user_id: Option<Identifier>,
    pub country: String,
    pub device: &'static str,
    pub origin: &'static str,
    pub signals: u8,
    pub address_hash: String,
    pub address_prefix: String,
    pub referrer: String,
    pub appended_at: Instant,
    pub source_partition: i32,
    pub source_offset: i64,
}

impl ClickRow {
    /// The row of a click.
    pub fn of(click: &ClickRecorded, origin: &Origin) -> Self {
        Self {
            click_id: click.click_id.get(),
            clicked_at: click.clicked_at.into(),
            received_at: click.received_at.into(),
            tenant_id: click.tenant_id.uuid().into(),
            campaign_id: click.campaign_id.uuid().into(),
            link_id: click.link_id.uuid().into(),
            offer_id: click.offer_id.get(),
            user_id: click.user_id.map(UserId::uuid).map(Identifier::from),
            country: text(click.country),
            device: click.device.name(),
            origin: click.origin.name(),
            signals: click.signals.byte(),
            address_hash: text(click.address_hash.as_ref()),
            address_prefix: text(click.address_prefix.as_ref()),
            referrer: text(click.referrer.as_ref()),
            appended_at: origin.appended_at.into(),
            source_partition: origin.position.partition,
            source_offset: origin.position.offset,
        }
    }
}
