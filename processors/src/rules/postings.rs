//! What is booked for a claim: double entry, target less booked (design section 5, posting).

use std::collections::BTreeMap;

use schemas::{
    Amount, Currency, Minor, MoneyOverflow, TenantId, UserId,
    events::{Account, LedgerChanged, Posting},
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

/// What the `ledger` topic is told of a claim, with the lines that it was just booked by.
///
/// # Errors
/// When an amount is beyond what an event can say.
pub fn ledger_changed(
    state: &ClaimState,
    lines: &Booking,
    epoch: i64,
    sequence: i64,
) -> Result<LedgerChanged, MoneyOverflow> {
    let click = &state.click;
    Ok(LedgerChanged {
        epoch,
        sequence,
        claim: state.name,
        retired: false,
        click_id: click.click_id,
        clicked_at: click.clicked_at,
        tenant_id: click.tenant_id,
        campaign_id: click.campaign_id,
        link_id: click.link_id,
        offer_id: click.offer_id,
        user_id: click.user_id,
        country: click.country,
        first_received_at: state.first_received_at,
        converted_at: state.converted_at,
        payable_at: state.payable_at,
        status: state.status,
        reasons: state.reasons().collect(),
        sale_amount: state.sale_amount,
        currency: state.currency,
        expected: state.expected.to_split(state.currency)?,
        posted: state.target.to_split(state.currency)?,
        paid_amount: Amount::from_minor(state.paid, state.currency)?,
        postings: to_events(lines)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures;

    /// What stands in the books for parts, of a click with or without a user.
    fn booking(user: Option<u128>, parts: Parts) -> Booking {
        let mut state = fixtures::state(vec![fixtures::report(1)]);
        state.click = fixtures::click(1, user);
        state.target = parts;
        target(&state)
    }

    const PARTS: Parts = Parts {
        commission: Minor::new(1_000),
        subsidy: Minor::new(200),
        fee: Minor::new(50),
        user: Minor::new(700),
        creator: Minor::new(450),
    };

    #[test]
    fn what_is_booked_sums_to_zero_and_reads_back_as_it_was() {
        for user in [Some(9), None] {
            let booked = booking(user, PARTS);
            assert_eq!(booked.len(), 5);
            assert_eq!(booked.values().copied().sum::<Minor>(), Minor::ZERO);
            assert_eq!(parts(&booked), PARTS);
        }
    }

    #[test]
    fn events_carry_every_line() {
        let lines = booking(Some(9), PARTS);
        let events = to_events(&lines).expect("in range");
        assert_eq!(events.len(), lines.len());
        for event in events {
            let key = BookKey {
                account: event.account,
                tenant_id: event.tenant_id,
                user_id: event.user_id,
                currency: event.currency,
            };
            assert_eq!(event.amount.to_minor(event.currency), lines[&key]);
        }
    }
}
