//! `GET /v1/widgets/{widget_id}`: what a widget shows to anybody.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::Currency;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{TenantScope, now},
    pages,
    problem::ProblemBody,
    resources::{links::smart_link, offers::RATE_IN_FORCE},
};

/// Links that were just made show up within a minute.
const CACHING: &str = "public, max-age=60";

/// What a widget shows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "widget_id": "00000000-0000-0000-0000-000000000005",
    "config": {"theme": "light", "language": "en-IN"},
    "offers": [{
        "offer_id": 5509, "brand": "Kurtas", "category": "fashion", "reward_pct": "4.80",
        "reward_flat": null, "currency": "INR", "smart_link": "https://hissaback.app/r/4fT9xQ2bLm"
    }]
}))]
pub(crate) struct ShownWidget {
    widget_id: Uuid,
    /// Its `config_json`, as it was saved.
    #[schema(value_type = Object)]
    config: serde_json::Value,
    /// Where the campaign's links lead, by brand; none while the campaign isn't active.
    offers: Vec<ShownOffer>,
}

/// An offer, as shoppers see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShownOffer {
    /// As its network numbers it.
    offer_id: i32,
    /// Whose goods are sold.
    brand: String,
    /// What is sold.
    category: Option<String>,
    /// What of the price a shopper gets back, in percent, before flat fees and bonuses; null where
    /// it isn't a percentage, or isn't known beforehand.
    #[schema(value_type = Option<String>)]
    reward_pct: Option<Decimal>,
    /// What a shopper gets back for each sale; null where it is a percentage.
    #[schema(value_type = Option<String>)]
    reward_flat: Option<Decimal>,
    /// Of what they get back.
    currency: String,
    /// Where to send them, with `u` = their user id, if that is known.
    smart_link: String,
}

#[derive(FromRow)]
struct Row {
    offer_id: i32,
    brand: String,
    category: Option<String>,
    currency: String,
    slug: String,
    custom_domain: Option<String>,
    commission_pct: Option<Decimal>,
    commission_flat: Option<Decimal>,
    #[sqlx(flatten)]
    terms: Terms,
}

/// What stands between a commission and a shopper's part (design section 4).
#[derive(Debug, Clone, Copy, FromRow)]
struct Terms {
    share_pct: Decimal,
    platform_fee_pct: Decimal,
    platform_fee_flat: Decimal,
    subsidy: Decimal,
}

/// A widget's look, and the offers of its campaign with what a click now would earn the shopper.
#[utoipa::path(
    get, path = "/v1/widgets/{widget_id}", tag = "shoppers", security(()),
    params(("widget_id" = Uuid, Path)),
    responses(
        (status = 200, body = ShownWidget, description = "Scripts of any site may read it.",
         headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        (status = 404, body = ProblemBody, description = "`not_found`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    widget_id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(Path(widget_id)) = widget_id else {
        return Err(Problem::NotFound);
    };
    let scope = TenantScope::of_widget(&api, widget_id).await?;
    let mut transaction = scope.begin(&api).await?;
    let widget: Option<(serde_json::Value, Uuid)> =
        sqlx::query_as("SELECT config_json, campaign_id FROM widgets WHERE widget_id = $1")
            .bind(widget_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| Problem::database(&error))?;
    let (config, campaign_id) = widget.ok_or(Problem::NotFound)?;
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT o.offer_id, o.brand, o.category, l.slug, custom_domain, rate.currency,
                rate.commission_pct, rate.commission_flat,
                coalesce(c.share_pct, t.default_share_pct) AS share_pct, t.platform_fee_pct,
                t.platform_fee_flat, t.subsidy
         FROM campaigns
         JOIN tenants USING (tenant_id)
         JOIN (SELECT DISTINCT ON (campaign_id, offer_id) campaign_id, offer_id, slug
               FROM links ORDER BY campaign_id, offer_id, slug) l USING (campaign_id)
         JOIN offers o USING (offer_id)
         CROSS JOIN LATERAL (SELECT share_pct FROM campaign_versions
                             WHERE campaign_id = $2 AND effective_at <= $1
                             ORDER BY effective_at DESC LIMIT 1) c
         CROSS JOIN LATERAL (SELECT * FROM tenant_versions WHERE effective_at <= $1
                             ORDER BY effective_at DESC LIMIT 1) t
         {RATE_IN_FORCE}
         WHERE campaign_id = $2 AND status = 'active'
         ORDER BY o.brand, o.offer_id"
    )))
    .bind(now(&api))
    .bind(campaign_id)
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    let offers = rows.into_iter().map(|row| row.shown(&api.public_url));
    let shown = ShownWidget {
        widget_id,
        config,
        offers: offers.collect(),
    };
    let json = serde_json::to_vec(&shown).expect("answers are plain JSON");
    Ok(pages::tagged_bytes(
        &headers,
        json,
        "application/json",
        CACHING,
    ))
}

impl Row {
    fn shown(self, public_url: &str) -> ShownOffer {
        let currency: Option<Currency> = self.currency.parse().ok();
        let places = currency.map_or(0, Currency::exponent);
        let reward_flat = self.commission_flat.map(|flat| self.terms.of_flat(flat));
        let reward_pct = self
            .commission_pct
            .map(|rate| self.terms.of_percentage(rate));
        ShownOffer {
            offer_id: self.offer_id,
            brand: self.brand,
            category: self.category,
            // Nothing is promised that may come out lower.
            reward_pct: reward_pct
                .map(|rate| rate.trunc_with_scale(2))
                .filter(positive),
            reward_flat: reward_flat
                .map(|flat| flat.trunc_with_scale(places))
                .filter(positive),
            currency: self.currency,
            smart_link: smart_link(public_url, self.custom_domain.as_deref(), &self.slug),
        }
    }
}

fn positive(value: &Decimal) -> bool {
    *value > Decimal::ZERO
}

impl Terms {
    /// The shopper's part of a commission that is a percentage of the price.
    fn of_percentage(self, rate: Decimal) -> Decimal {
        rate * part(Decimal::ONE_HUNDRED - self.platform_fee_pct) * part(self.share_pct)
    }

    /// The shopper's part of a commission of one amount for each sale.
    fn of_flat(self, flat: Decimal) -> Decimal {
        let payable = flat + self.subsidy;
        let fee = payable * part(self.platform_fee_pct) + self.platform_fee_flat;
        (payable - fee.min(payable)) * part(self.share_pct)
    }
}

fn part(percentage: Decimal) -> Decimal {
    percentage / Decimal::ONE_HUNDRED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a number")
    }

    fn row(commission_pct: Option<&str>, commission_flat: Option<&str>, terms: Terms) -> Row {
        Row {
            offer_id: 1,
            brand: "Kurtas".to_owned(),
            category: None,
            currency: "INR".to_owned(),
            slug: "abc".to_owned(),
            custom_domain: None,
            commission_pct: commission_pct.map(decimal),
            commission_flat: commission_flat.map(decimal),
            terms,
        }
    }

    fn terms(share: &str, fee_pct: &str, fee_flat: &str, subsidy: &str) -> Terms {
        Terms {
            share_pct: decimal(share),
            platform_fee_pct: decimal(fee_pct),
            platform_fee_flat: decimal(fee_flat),
            subsidy: decimal(subsidy),
        }
    }

    #[test]
    fn a_shopper_is_shown_their_part_and_never_more() {
        let plain = terms("60", "0", "0", "0");
        let cases = [
            (Some("8"), None, plain, Some("4.80"), None),
            (
                Some("8"),
                None,
                terms("60", "12.5", "0", "0"),
                Some("4.20"),
                None,
            ),
            (
                Some("0.33"),
                None,
                terms("33.33", "0", "0", "0"),
                Some("0.10"),
                None,
            ),
            (Some("0"), None, plain, None, None),
            (None, Some("50"), plain, None, Some("30.00")),
            (
                None,
                Some("50"),
                terms("60", "10", "2.5", "5"),
                None,
                Some("28.20"),
            ),
            (None, Some("3"), terms("60", "0", "5", "0"), None, None),
            (None, None, plain, None, None),
        ];
        for (rate, flat, terms, reward_pct, reward_flat) in cases {
            let shown = row(rate, flat, terms).shown("https://hissaback.example");
            assert_eq!(
                (shown.reward_pct, shown.reward_flat),
                (reward_pct.map(decimal), reward_flat.map(decimal)),
                "{rate:?} {flat:?} {terms:?}"
            );
            assert_eq!(shown.smart_link, "https://hissaback.example/r/abc");
        }
    }
}
