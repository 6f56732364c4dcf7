//! What is booked for a claim: double entry, target less booked (design section 5, posting).

use std::collections::BTreeMap;

use schemas::{
    Amount, Currency, Minor, MoneyOverflow, TenantId, UserId,
    events::{Account, Posting},
};

use super::{lifecycle::ClaimState, split::Parts};

/// One account of one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookKey {
    /// The account's kind.
    pub account: Account,
    /// The tenant whose books it is in.
    pub tenant_id: TenantId,
    /// The shopper, for accounts that have one each.
    pub user_id: Option<UserId>,
    /// Its currency.
    pub currency: Currency,
}

/// Sums by account. Zero lines are left out.
pub type Booking = BTreeMap<BookKey, Minor>;

/// What is to stand in the books for a claim. Sums to zero.
pub fn target(state: &ClaimState) -> Booking {
    let Parts {
        commission,
        subsidy,
        fee,
        user,
        creator,
    } = state.target;
    let user_account = match state.click.user_id {
        Some(_) => Account::UserPayable,
        None => Account::Unclaimed,
    };
    let lines = [
        (Account::NetworkReceivable, None, -commission),
        (Account::PromotionExpense, None, -subsidy),
        (user_account, state.click.user_id, user),
        (Account::CreatorPayable, None, creator),
        (Account::PlatformRevenue, None, fee),
    ];
    lines
        .into_iter()
        .filter(|(_, _, amount)| !amount.zero())
        .map(|(account, user_id, amount)| {
            let tenant_id = state.click.tenant_id;
            (
                BookKey {
                    account,
                    tenant_id,
                    user_id,
                    currency: state.currency,
                },
                amount,
            )
        })
        .collect()
}

/// The lines that bring the books from `booked` to `target`: the whole on confirmation, the
/// difference on an amendment, the reverse of what was booked on a clawback. None when equal.
pub fn difference(target: &Booking, booked: &Booking) -> Booking {
    let mut lines = target.clone();
    for (key, amount) in booked {
        *lines.entry(*key).or_default() += -*amount;
    }
    lines.retain(|_, amount| !amount.zero());
    lines
}

/// Adds lines to a booking.
pub fn add(booking: &mut Booking, lines: &Booking) {
    for (key, amount) in lines {
        *booking.entry(*key).or_default() += *amount;
    }
    booking.retain(|_, amount| !amount.zero());
}

/// What stands in the books, as parts of a split: the inverse of [`target`].
pub fn parts(booked: &Booking) -> Parts {
    let mut parts = Parts::default();
    for (key, amount) in booked {
        match key.account {
            Account::NetworkReceivable => parts.commission += -*amount,
            Account::PromotionExpense => parts.subsidy += -*amount,
            Account::UserPayable | Account::Unclaimed => parts.user += *amount,
            Account::CreatorPayable => parts.creator += *amount,
            Account::PlatformRevenue => parts.fee += *amount,
            Account::PayoutClearing => {}
        }
    }
    parts
}

/// As events carry them.
///
/// # Errors
/// When an amount exceeds what an event can hold.
pub fn to_events(lines: &Booking) -> Result<Vec<Posting>, MoneyOverflow> {
    lines
        .iter()
        .map(|(key, amount)| {
            Ok(Posting {
                account: key.account,
                tenant_id: key.tenant_id,
                user_id: key.user_id,
                currency: key.currency,
                amount: Amount::from_minor(*amount, key.currency)?,
            })
        })
        .collect()
}
