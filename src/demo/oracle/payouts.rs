//! Who must be paid when, on how many cards.

use std::collections::{BTreeMap, HashMap};

use schemas::{TenantId, Timestamp, UserId};

use crate::demo::world::{PostbackNumber, Script, coin::Coin};

use super::judgement::{Judged, users_by_id};

/// Most that one card holds, in whole units.
const CARD_UNITS_MAX: i128 = 10_000;

/// Whose balance it is.
pub type Payee = (TenantId, UserId, Coin);

/// The one currency that the gift-card account pays; balances in others wait for another rail.
pub const CARD_COIN: Coin = Coin::Inr;

/// A gift card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// Which payout run made it: 0 or 1.
    pub run: usize,
    /// The tenant whose balance it pays.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// Its currency.
    pub coin: Coin,
    /// Its value in minor units.
    pub minor: i128,
}

/// What was paid of each claim, by the number of its first report, in minor units.
#[derive(Debug, Clone, Default)]
pub struct Paid(HashMap<PostbackNumber, i128>);

impl Paid {
    /// What was paid of a claim.
    pub fn of(&self, judged: &Judged<'_>) -> i128 {
        self.0
            .get(&judged.history.reports[0].number)
            .copied()
            .unwrap_or(0)
    }
}

/// The payee of a claim, if it has one.
pub fn payee(judged: &Judged<'_>, script: &Script) -> Option<Payee> {
    let click = &script.clicks[judged.history.click];
    let tenant_id = script.seeds.tenant_of(click.link).tenant_id;
    Some((tenant_id, click.user_id?, judged.deal.offer.coin))
}

/// Pays every payee's matured balance in whole units, oldest claims first, and notes what was
/// paid of each.
pub fn pay(
    run: usize,
    as_of: Timestamp,
    all: &[Judged<'_>],
    paid: &mut Paid,
    script: &Script,
) -> Vec<Card> {
    let mut payees: BTreeMap<Payee, Vec<&Judged<'_>>> = BTreeMap::new();
    for judged in all {
        if let Some(payee) = payee(judged, script).filter(|(_, _, coin)| *coin == CARD_COIN) {
            payees.entry(payee).or_default().push(judged);
        }
    }
    let users = users_by_id(&script.seeds);
    let mut cards = Vec::new();
    for ((tenant_id, user_id, coin), mut claims) in payees {
        claims.sort_by_key(|judged| (judged.payable_at, judged.rank()));
        let already: i128 = claims.iter().map(|judged| paid.of(judged)).sum();
        claims.retain(|judged| judged.payable_at < as_of);
        let matured: i128 = claims.iter().map(|judged| judged.parts.user).sum::<i128>() - already;
        let tenant = script.seeds.tenant(tenant_id);
        let unit = i128::from(coin.minor_per_unit());
        let minimum = i128::from(tenant.payout_minimum_units) * unit;
        let identified = users.get(&user_id).is_some_and(|user| user.identified);
        if matured < minimum.max(unit) || (tenant.asks_for_kyc && !identified) {
            continue;
        }
        let total = matured / unit * unit;
        let mut left = total;
        while left > 0 {
            let minor = left.min(CARD_UNITS_MAX * unit);
            cards.push(Card {
                run,
                tenant_id,
                user_id,
                coin,
                minor,
            });
            left -= minor;
        }
        allocate(total, &claims, paid);
    }
    cards
}

fn allocate(mut left: i128, oldest_first: &[&Judged<'_>], paid: &mut Paid) {
    for judged in oldest_first {
        let unpaid = (judged.parts.user - paid.of(judged)).clamp(0, left);
        if unpaid > 0 {
            *paid.0.entry(judged.history.reports[0].number).or_default() += unpaid;
            left -= unpaid;
        }
    }
}
