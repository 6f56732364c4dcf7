//! What ingest counts.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use schemas::events::Malformed;

use crate::device::Visitor;

/// What was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A click through `POST /v1/events/click`.
    Click,
    /// A click through `GET /r/{slug}`.
    Redirect,
    /// A click through `POST /v1/edge/clicks`.
    Edge,
    /// A postback.
    Postback,
}

impl Kind {
    /// In the order of the enum: each has its counters at its place.
    const ALL: [Self; 4] = [Self::Click, Self::Redirect, Self::Edge, Self::Postback];

    fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Redirect => "redirect",
            Self::Edge => "edge",
            Self::Postback => "postback",
        }
    }
}

/// Whether a redirect made a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// It is in the log.
    Recorded,
    /// The address is over its limit: sent on, and not counted.
    OverLimit,
    /// The visitor only asked where the link leads (`HEAD`).
    AskedOnly,
}

impl Counting {
    fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::OverLimit => "over_limit",
            Self::AskedOnly => "asked_only",
        }
    }
}

/// The counters and the histogram, registered under `hissaback_ingest_*`.
pub(crate) struct Metrics {
    accepted: [IntCounter; Kind::ALL.len()],
    ignored: IntCounterVec,
    rejected: IntCounterVec,
    durable_seconds: [Histogram; Kind::ALL.len()],
    redirects: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let accepted = IntCounterVec::new(
            Opts::new(
                "hissaback_ingest_accepted_total",
                "Requests answered with success, their record durable in the log.",
            ),
            &["kind"],
        )?;
        let ignored = IntCounterVec::new(
            Opts::new(
                "hissaback_ingest_ignored_total",
                "Accepted postbacks that can't be used, by what is wrong with them.",
            ),
            &["reason"],
        )?;
        let rejected = IntCounterVec::new(
            Opts::new(
                "hissaback_ingest_rejected_total",
                "Requests not accepted, by why. The sender was told.",
            ),
            &["reason"],
        )?;
        let durable_seconds = HistogramVec::new(
            HistogramOpts::new(
                "hissaback_ingest_durable_seconds",
                "From a request's head to its record being durable, of accepted requests.",
            )
            .buckets(vec![
                0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
            ]),
            &["kind"],
        )?;
        let redirects = IntCounterVec::new(
            Opts::new(
                "hissaback_ingest_redirects_total",
                "Visitors sent on, by who they seem to be and whether a click was recorded.",
            ),
            &["visitor", "click"],
        )?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(ignored.clone()))?;
        registry.register(Box::new(rejected.clone()))?;
        registry.register(Box::new(durable_seconds.clone()))?;
        registry.register(Box::new(redirects.clone()))?;
        // Looked up by label once, not for every request.
        Ok(Self {
            accepted: Kind::ALL.map(|kind| accepted.with_label_values(&[kind.name()])),
            ignored,
            rejected,
            durable_seconds: Kind::ALL
                .map(|kind| durable_seconds.with_label_values(&[kind.name()])),
            redirects,
        })
    }

    pub(crate) fn count_accepted(&self, kind: Kind, seconds: f64) {
        self.accepted[kind as usize].inc();
        self.durable_seconds[kind as usize].observe(seconds);
    }

    pub(crate) fn count_ignored(&self, reason: Malformed) {
        self.ignored.with_label_values(&[reason_name(reason)]).inc();
    }

    pub(crate) fn count_redirect(&self, visitor: Visitor, click: Counting) {
        let labels = [visitor.name(), click.name()];
        self.redirects.with_label_values(&labels).inc();
    }

    pub(crate) fn count_rejected(&self, reason: &'static str) {
        self.rejected.with_label_values(&[reason]).inc();
    }
}

/// The reason as answers and metrics show it: as the contracts write it.
pub fn reason_name(reason: Malformed) -> &'static str {
    match reason {
        Malformed::MissingClick => "missing_click",
        Malformed::ClickIdOutOfRange => "click_id_out_of_range",
        Malformed::ClickRefTooLong => "click_ref_too_long",
        Malformed::SaleAmountInvalid => "sale_amount_invalid",
        Malformed::SaleAmountNegative => "sale_amount_negative",
        Malformed::SaleAmountAbsurd => "sale_amount_absurd",
        Malformed::PayoutInvalid => "payout_invalid",
        Malformed::CurrencyUnknown => "currency_unknown",
        Malformed::OfferIdInvalid => "offer_id_invalid",
        Malformed::FieldInvalid => "field_invalid",
        Malformed::ConvertedAtInvalid => "converted_at_invalid",
        Malformed::BodyTooLarge => "body_too_large",
        Malformed::NotUtf8 => "not_utf8",
        Malformed::ContentTypeUnknown => "content_type_unknown",
        Malformed::JsonInvalid => "json_invalid",
        Malformed::SecurityTokenInvalid => "security_token_invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_counters_of_its_own() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[test]
    fn reasons_are_named_as_in_the_contracts() {
        for reason in [
            Malformed::MissingClick,
            Malformed::ClickIdOutOfRange,
            Malformed::ClickRefTooLong,
            Malformed::SaleAmountInvalid,
            Malformed::SaleAmountNegative,
            Malformed::SaleAmountAbsurd,
            Malformed::PayoutInvalid,
            Malformed::CurrencyUnknown,
            Malformed::OfferIdInvalid,
            Malformed::FieldInvalid,
            Malformed::ConvertedAtInvalid,
            Malformed::BodyTooLarge,
            Malformed::NotUtf8,
            Malformed::ContentTypeUnknown,
            Malformed::JsonInvalid,
            Malformed::SecurityTokenInvalid,
        ] {
            let name = serde_json::to_value(reason).expect("a name");
            assert_eq!(name, reason_name(reason));
        }
    }
}
