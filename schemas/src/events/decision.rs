use serde::{Deserialize, Serialize};

use crate::{
    Amount, CampaignId, ClickId, Country, Currency, Days, EventId, LinkId, NetworkId, OfferId,
    Percentage, Position, TenantId, Timestamp, UserId,
};

use super::{CommissionRules, GoalRate, Heal, Malformed, Rate, RateOrigin, ReportSource, Reported};

/// What the processors made of one `conversions` record (topic `decisions`). It carries every
/// fact that it used, so that the ledger and a replay need no look-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Position of the `conversions` record: the identity of this decision.
    pub source: Position,
    /// Append time of that record.
    pub appended_at: Timestamp,
    /// The report's event id. Zero for a record that can't be read.
    pub event_id: EventId,
    /// The report's `received_at`.
    pub received_at: Timestamp,
    /// Where the report came from.
    pub report_source: ReportSource,
    /// As-of time of the snapshot, for CSV and API.
    pub as_of: Option<Timestamp>,
    /// The network instance.
    pub network_id: NetworkId,
    /// The parsed fields.
    pub reported: Option<Reported>,
    /// What this report heals, if it does.
    pub heal: Option<Heal>,
    /// The result.
    pub outcome: Outcome,
}

/// The result of the stage for one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The click is known.
    Matched(Box<Matched>),
    /// The click is not known (yet).
    Unmatched(Unmatched),
    /// The report can't be used.
    Ignored(Ignored),
    /// The record itself can't be read; its bytes went to `dead-letters`.
    Poisoned(Poisoned),
}

/// A report whose click is known: facts, terms, signals, and the split as it stands alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// The click.
    pub click: ClickFacts,
    /// The terms as of the click.
    pub terms: Terms,
    /// The fraud rules in force at the report's `received_at`.
    pub rules: FraudRules,
    /// What speaks against the report.
    pub signals: Vec<Signal>,
    /// Sum of the signals' weights.
    pub score: i32,
    /// Set where the shopper is one of the tenant's members, as of the click.
    pub self_purchase: Option<SelfPurchase>,
    /// The split of this report taken alone, where it carries enough to compute one.
    pub split: Option<Split>,
    /// The tenant's books are locked for conversions before this instant, as of the report's
    /// append time.
    #[serde(default)]
    pub books_locked_before: Option<Timestamp>,
}

/// Which contact of the shopper equals a member's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SelfPurchase {
    Phone,
    Email,
}

/// A click as the join knows it: from the token, or from the `clicks` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickFacts {
    /// The click.
    pub click_id: ClickId,
    /// The click's time.
    pub clicked_at: Timestamp,
    /// Owner of the link.
    pub tenant_id: TenantId,
    /// The link's campaign.
    pub campaign_id: CampaignId,
    /// The link.
    pub link_id: LinkId,
    /// The link's offer.
    pub offer_id: OfferId,
    /// The shopper, where known.
    pub user_id: Option<UserId>,
    /// The shopper's country at the click.
    pub country: Option<Country>,
    /// The click's signal bits.
    pub signals: super::ClickSignals,
}

/// The terms of a conversion as they stood when the click happened, pinned by version and by
/// value: a later edit never re-prices history (design section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Version of the tenant's settings.
    pub tenant_version: i32,
    /// Version of the campaign's terms.
    pub campaign_version: i32,
    /// Version of the offer.
    pub offer_version: i32,
    /// The commission's currency.
    pub currency: Currency,
    /// What a report without a currency means.
    pub default_currency: Currency,
    /// What the commission is made of.
    pub commission_source: CommissionSource,
    /// Our own rate of the commission, whatever the goal.
    pub commission: Rate,
    /// Where that rate is from.
    #[serde(default)]
    pub rate_origin: RateOrigin,
    /// Rates of single goals: they come before `commission`.
    #[serde(default)]
    pub goal_rates: Vec<GoalRate>,
    /// The commission rules in force at the click, as far as they can still apply.
    #[serde(default)]
    pub commission_rules: Option<CommissionRules>,
    /// Whether the network's payout is an amount or a percentage of the sale.
    pub payout_means: PayoutMeans,
    /// A commission above this goes to review.
    pub commission_max: Option<Amount>,
    /// A sale above this is far above the offer's usual: a signal.
    pub usual_sale_max: Option<Amount>,
    /// From conversion to payable.
    pub cool_off_days: Days,
    /// From click to conversion, half-open.
    pub attribution_window_days: Days,
    /// Whether the network fires at the sale, so that `received_at` may test the window.
    pub fires_at_sale: bool,
    /// Whether `txn_id` is an order number for this offer.
    pub txn_id_names_order: bool,
    /// What a second claim on an order means.
    pub duplicate_orders: DuplicatePolicy,
    /// The shopper's share of what is left after the fee.
    pub user_share: Percentage,
    /// The platform's fee, as a percentage of what is payable.
    pub platform_fee: Percentage,
    /// The platform's fee, a flat amount on top.
    pub platform_fee_flat: Amount,
    /// A bonus that the platform gives on top of the commission.
    pub subsidy: Amount,
}

/// What a commission is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommissionSource {
    /// The offer's percentage of the sale amount.
    Percentage,
    /// The network's reported payout.
    Payout,
}

/// What a network's `payout` field means (Trackier: a percentage for cost-per-sale campaigns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PayoutMeans {
    Amount,
    Percentage,
}

/// What a second claim on an order within the days of the rule means, per offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// A duplicate: rejected. The default.
    Reject,
    /// A new order.
    Accept,
}

/// A tenant's fraud rules, pinned by version and by value (specification section 10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudRules {
    /// Version of the rule set.
    pub version: i32,
    /// From this many claims of a user within `velocity_hours` on, a claim goes to review.
    pub velocity_claims: i32,
    /// Width of the velocity window, over the clicks' times.
    pub velocity_hours: i32,
    /// How long an order number stays owned.
    pub duplicate_days: Days,
    /// The score from which a claim goes to review.
    pub review_score: i32,
    /// Weight of a country that differs between click and conversion.
    pub country_mismatch_weight: i32,
    /// Weight of a sale implausibly soon after the click.
    pub hasty_sale_weight: i32,
    /// What implausibly soon means.
    pub hasty_sale_seconds: i32,
    /// Weight of a bot's user agent.
    pub bot_weight: i32,
    /// Weight of a data-centre address.
    pub data_centre_weight: i32,
    /// Weight of an anonymising proxy.
    pub proxy_weight: i32,
    /// Weight of a sale far above the offer's usual.
    pub unusual_sale_weight: i32,
    /// Whether a self-purchase is rejected.
    pub reject_self_purchase: bool,
}

impl Default for FraudRules {
    /// The platform's default: the four rules of specification section 10 and the further
    /// signals of design section 4, one point each, review at three.
    fn default() -> Self {
        Self {
            version: 1,
            velocity_claims: 5,
            velocity_hours: 24,
            duplicate_days: 30,
            review_score: 3,
            country_mismatch_weight: 1,
            hasty_sale_weight: 1,
            hasty_sale_seconds: 5,
            bot_weight: 1,
            data_centre_weight: 1,
            proxy_weight: 1,
            unusual_sale_weight: 1,
            reject_self_purchase: true,
        }
    }
}

/// One thing that speaks against a report, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Which.
    pub code: SignalCode,
    /// What it adds to the score.
    pub weight: i32,
    /// The values that it rests on, for the reviewer.
    pub evidence: String,
}

/// The signals of design section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalCode {
    /// Click and conversion country differ.
    CountryMismatch,
    /// The sale follows the click implausibly soon.
    HastySale,
    /// The click's user agent names a bot.
    Bot,
    /// The click came from a data centre.
    DataCentre,
    /// The click came through an anonymising proxy.
    Proxy,
    /// The sale is far above the offer's usual.
    UnusualSale,
}

/// Who gets what of one conversion, in the offer's currency (design section 4, money):
/// `user + creator + fee = commission + subsidy`, exactly. Without a user, the user's part is
/// the account `unclaimed`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// What the network owes.
    pub commission: Amount,
    /// What the platform adds.
    pub subsidy: Amount,
    /// What the platform keeps.
    pub fee: Amount,
    /// The shopper's part.
    pub user: Amount,
    /// The creator's part.
    pub creator: Amount,
}

/// A report whose click isn't known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    /// Why.
    pub reason: UnmatchedReason,
    /// The click id that was looked for, where the reference holds one.
    pub click_id: Option<ClickId>,
}

/// Why a report's click isn't known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedReason {
    /// A bare id that the `clicks` table doesn't hold.
    UnknownClick,
    /// A token whose seal doesn't hold: forged or damaged.
    TokenForged,
    /// A token sealed with a key that we don't have.
    TokenKeyUnknown,
    /// The reference is neither a number nor a token.
    NotAReference,
    /// The link, offer or campaign of the click isn't in the reference data.
    UnknownLink,
    /// The import's tenant is not the click's.
    OtherTenant,
    /// The report came by another network instance than the click's offer belongs to: else a
    /// network without a security token would be a way round one that asks for it.
    OtherNetwork,
}

/// A report that can't be used, kept for audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Why.
    pub reason: Malformed,
}

/// A record that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poisoned {
    /// The decoder's error.
    pub error: String,
}
