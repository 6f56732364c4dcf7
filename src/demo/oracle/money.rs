//! Who gets what, worked out apart from the pipeline's code.

use schemas::Timestamp;

use crate::demo::world::{
    Click, Report,
    coin::{Coin, Exact, MICROS},
    seeds::{CommissionRule, OfferTerms, PayoutMeaning, Seeds, as_of},
};

/// Hundredths of a percent that make the whole.
const WHOLE: i128 = 10_000;

/// What each gets of one claim, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// What the network owes.
    pub commission: i128,
    /// What the platform adds.
    pub subsidy: i128,
    /// What the platform keeps.
    pub fee: i128,
    /// The shopper's part, or `unclaimed`'s.
    pub user: i128,
    /// The creator's part.
    pub creator: i128,
}

/// The terms of a click, as of its time.
#[derive(Debug, Clone)]
pub struct Deal<'a> {
    /// The offer's terms.
    pub offer: &'a OfferTerms,
    /// What the network's payout means.
    pub payout: PayoutMeaning,
    /// What a report without a currency means.
    pub default_coin: Coin,
    /// Whether the network's receipts tell the time of the sale.
    pub fires_at_sale: bool,
    /// From the click to the sale, half-open.
    pub attribution_window_days: i32,
    share: i128,
    platform_fee: i128,
    platform_fee_flat: Exact,
    subsidy: Exact,
}

impl<'a> Deal<'a> {
    /// The deal that a click was made under.
    pub fn of(click: &Click, seeds: &'a Seeds) -> Self {
        let at: Timestamp = click.clicked_at();
        let offer = seeds.offer_of(click.link);
        let network = seeds.network(offer.network_id);
        let campaign = as_of(&seeds.campaign_of(click.link).terms, at);
        let tenant = as_of(&seeds.tenant_of(click.link).settings, at);
        Self {
            offer: as_of(&offer.terms, at),
            payout: network.payout,
            default_coin: network.default_coin,
            fires_at_sale: network.fires_at_sale,
            attribution_window_days: campaign.attribution_window_days,
            share: i128::from(campaign.share.unwrap_or(tenant.default_share)),
            platform_fee: i128::from(tenant.platform_fee),
            platform_fee_flat: tenant.platform_fee_flat,
            subsidy: tenant.subsidy,
        }
    }

    /// The currency that a report's amounts are in.
    pub fn coin_of(&self, report: &Report) -> Coin {
        report.coin.unwrap_or(self.default_coin)
    }

    /// The commission in minor units; `None` where what it is made of is missing.
    pub fn commission(&self, sale: Option<Exact>, payout: Option<Exact>) -> Option<i128> {
        let per_minor = i128::from(self.offer.coin.micros_per_minor());
        let micros = |amount: Exact| i128::from(amount.micros());
        match (self.offer.commission, self.payout) {
            (CommissionRule::OfSale(rate), _) => {
                Some(rounded(micros(sale?) * i128::from(rate), WHOLE * per_minor))
            }
            (CommissionRule::ReportedPayout, PayoutMeaning::Amount) => {
                Some(rounded(micros(payout?), per_minor))
            }
            (CommissionRule::ReportedPayout, PayoutMeaning::Percentage) => {
                let percent_of_micros = micros(sale?) * micros(payout?);
                Some(rounded(
                    percent_of_micros,
                    100 * i128::from(MICROS) * per_minor,
                ))
            }
        }
    }

    /// The split of a commission.
    pub fn split(&self, commission: i128) -> Parts {
        let per_minor = i128::from(self.offer.coin.micros_per_minor());
        let subsidy = rounded(i128::from(self.subsidy.micros()), per_minor);
        let payable = commission + subsidy;
        let proportional = payable * self.platform_fee * per_minor;
        let flat = i128::from(self.platform_fee_flat.micros()) * WHOLE;
        let fee = rounded(proportional + flat, WHOLE * per_minor).min(payable);
        let user = rounded((payable - fee) * self.share, WHOLE);
        Parts {
            commission,
            subsidy,
            fee,
            user,
            creator: payable - fee - user,
        }
    }
}

/// A quotient of non-negative numbers, rounded half to even.
fn rounded(numerator: i128, denominator: i128) -> i128 {
    let below = numerator / denominator;
    let to_below = numerator - below * denominator;
    let to_above = (below + 1) * denominator - numerator;
    if to_below < to_above || (to_below == to_above && below % 2 == 0) {
        below
    } else {
        below + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::demo::world::Script;

    fn deal(share: i128, fee: i128, flat: i64, subsidy: i64, terms: &OfferTerms) -> Deal<'_> {
        Deal {
            offer: terms,
            payout: PayoutMeaning::Amount,
            default_coin: Coin::Inr,
            fires_at_sale: false,
            attribution_window_days: 30,
            share,
            platform_fee: fee,
            platform_fee_flat: Exact::from_units(flat),
            subsidy: Exact::from_units(subsidy),
        }
    }

    fn terms(coin: Coin, commission: CommissionRule) -> OfferTerms {
        OfferTerms {
            tracking_url: "",
            coin,
            commission,
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            accepts_duplicates: false,
        }
    }

    fn commission(deal: &Deal<'_>, micros: i64) -> Option<i128> {
        deal.commission(Some(Exact::from_micros(micros)), None)
    }

    #[test]
    fn the_example_of_the_design() {
        let terms = terms(Coin::Inr, CommissionRule::OfSale(800));
        let deal = deal(6_000, 0, 0, 0, &terms);
        assert_eq!(commission(&deal, 1_999_000_000), Some(15_992));
        let parts = Parts {
            commission: 15_992,
            user: 9_595,
            creator: 6_397,
            ..Parts::default()
        };
        assert_eq!(deal.split(15_992), parts);
    }

    #[test]
    fn halves_go_to_the_even_side() {
        for (numerator, rounded_to) in [(5, 0), (15, 2), (25, 2), (35, 4), (26, 3), (24, 2), (0, 0)]
        {
            assert_eq!(rounded(numerator, 10), rounded_to, "{numerator}/10");
        }
        let terms = terms(Coin::Inr, CommissionRule::OfSale(500));
        let deal = deal(5_000, 0, 0, 0, &terms);
        // 5 % of 0.10 is half a paisa; of 0.30, one and a half.
        assert_eq!(commission(&deal, 100_000), Some(0));
        assert_eq!(commission(&deal, 300_000), Some(2));
    }

    #[test]
    fn minor_units_are_the_currencys() {
        for (coin, expected) in [(Coin::Jpy, 8), (Coin::Inr, 800), (Coin::Kwd, 8_000)] {
            let terms = terms(coin, CommissionRule::OfSale(800));
            assert_eq!(
                commission(&deal(0, 0, 0, 0, &terms), 100_000_000),
                Some(expected)
            );
        }
    }

    #[test]
    fn fee_and_subsidy_by_hand() {
        let terms = terms(Coin::Inr, CommissionRule::OfSale(1_200));
        // 12 % of 1,000 is 120; with a bonus of 2 payable is 122; 2.5 % and 1 are 4.05.
        let parts = deal(10_000, 250, 1, 2, &terms).split(12_000);
        let expected = Parts {
            commission: 12_000,
            subsidy: 200,
            fee: 405,
            user: 11_795,
            creator: 0,
        };
        assert_eq!(parts, expected);
        // A fee is never more than there is.
        let parts = deal(6_000, 0, 5, 0, &terms).split(300);
        assert_eq!(
            parts,
            Parts {
                commission: 300,
                fee: 300,
                ..Parts::default()
            }
        );
    }

    #[test]
    fn payouts_are_amounts_or_percentages() {
        let terms = terms(Coin::Usd, CommissionRule::ReportedPayout);
        let mut deal = deal(0, 0, 0, 0, &terms);
        let (sale, payout) = (Exact::from_units(200), Exact::from_micros(12_500_000));
        assert_eq!(deal.commission(Some(sale), Some(payout)), Some(1_250));
        deal.payout = PayoutMeaning::Percentage;
        assert_eq!(deal.commission(Some(sale), Some(payout)), Some(2_500));
        assert_eq!(deal.commission(None, Some(payout)), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_part_is_negative(seed: u64, sale in 0_i64..100_000_000_000) {
            let script = Script::write(seed, 1, Timestamp::from_millis(1_790_000_000_000));
            for click in &script.clicks {
                let deal = Deal::of(click, &script.seeds);
                let amount = Some(Exact::from_micros(sale));
                let commission = deal.commission(amount, Some(Exact::from_micros(1_000_000)));
                let parts = deal.split(commission.expect("both amounts are there"));
                prop_assert_eq!(
                    parts.user + parts.creator + parts.fee,
                    parts.commission + parts.subsidy
                );
                prop_assert!(parts.user >= 0 && parts.creator >= 0 && parts.fee >= 0);
            }
        }
    }
}
