//! The generator's record against what the product holds. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    evidence::{Evidence, Position},
    record::Kept,
};

/// What was found; every list is empty where all is well.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Accepted, and not accounted for.
    pub lost: Vec<String>,
    /// Accounted for more than once.
    pub doubled: Vec<String>,
    /// Held, and asked for by nobody.
    pub untraced: Vec<String>,
    /// Booked or paid otherwise than the record demands.
    pub money: Vec<String>,
}

impl Verdict {
    pub fn of(record: &Kept, evidence: &Evidence) -> Self {
        let mut verdict = Self::default();
        verdict.compare_postbacks(record, evidence);
        verdict.compare_fates(evidence);
        verdict.compare_clicks(record, evidence);
        verdict.compare_money(record, evidence);
        verdict.compare_cards(evidence);
        verdict
    }

    pub fn clean(&self) -> bool {
        *self == Self::default()
    }

    /// Each 200 stands in the log once; every other request at most once.
    fn compare_postbacks(&mut self, record: &Kept, evidence: &Evidence) {
        let mut logged: BTreeMap<u64, u32> = BTreeMap::new();
        for found in evidence.logged.iter().filter(|found| !found.heal) {
            match found.request {
                Some(request) if record.postbacks.contains_key(&request) => {
                    *logged.entry(request).or_default() += 1;
                }
                Some(_) | None => self.untraced.push(format!("record {:?}", found.position)),
            }
        }
        for (request, answered) in &record.postbacks {
            match logged.get(request).copied().unwrap_or_default() {
                0 if *answered => self.lost.push(format!("postback {request}")),
                0 | 1 => {}
                records => self.doubled.push(format!("postback {request} ×{records}")),
            }
        }
    }

    /// Each record has one fate, and each fate a record.
    fn compare_fates(&mut self, evidence: &Evidence) {
        let mut unseen: BTreeMap<Position, u32> = evidence.fates.clone();
        for found in &evidence.logged {
            match unseen.remove(&found.position).unwrap_or_default() {
                0 => self.lost.push(format!("fate of {:?}", found.position)),
                1 => {}
                rows => self
                    .doubled
                    .push(format!("fate of {:?} ×{rows}", found.position)),
            }
        }
        self.untraced.extend(
            unseen
                .keys()
                .map(|position| format!("fate of {position:?}")),
        );
        if evidence.claims_without_report > 0 {
            let claims = evidence.claims_without_report;
            self.untraced
                .push(format!("{claims} claims without a report"));
        }
    }

    fn compare_clicks(&mut self, record: &Kept, evidence: &Evidence) {
        for click in &record.clicks {
            match evidence.clicks.get(click).copied().unwrap_or_default() {
                0 => self.lost.push(format!("click {click}")),
                1 => {}
                rows => self.doubled.push(format!("click {click} ×{rows}")),
            }
        }
        let unknown = evidence
            .clicks
            .keys()
            .filter(|click| !record.clicks.contains(click));
        let unknown = unknown.count() as u64;
        if unknown > record.clicks_unanswered {
            let asked = record.clicks_unanswered;
            self.untraced.push(format!(
                "{unknown} clicks, of {asked} that weren't answered"
            ));
        }
    }

    fn compare_money(&mut self, record: &Kept, evidence: &Evidence) {
        for (order, due) in &record.commission {
            let booked = evidence.commission.get(order).copied().unwrap_or_default();
            if booked != *due {
                self.money
                    .push(format!("{order}: {booked} booked, {due} due"));
            }
        }
        let unknown = evidence.commission.iter();
        self.money.extend(
            unknown
                .filter(|(order, booked)| **booked != 0 && !record.commission.contains_key(*order))
                .map(|(order, booked)| format!("{order}: {booked} booked, unknown")),
        );
        if evidence.unbalanced > 0 {
            let unbalanced = evidence.unbalanced;
            self.money
                .push(format!("{unbalanced} transactions out of balance"));
        }
    }

    /// Each card is a payout's, and a funded payout has its card.
    fn compare_cards(&mut self, evidence: &Evidence) {
        let mut unseen = evidence.cards.clone();
        for payout in &evidence.payouts {
            let card = unseen.remove(&payout.request_id);
            match (card, payout.state.as_str()) {
                (Some(amount), _) if !same_amount(&amount, &payout.amount) => {
                    let due = &payout.amount;
                    self.money
                        .push(format!("a card of {amount} for a payout of {due}"));
                }
                (Some(_), "cancelled") => {
                    self.money
                        .push(format!("a card for cancelled {}", payout.request_id));
                }
                (None, "funded") => self.lost.push(format!("card of {}", payout.request_id)),
                (Some(_) | None, _) => {}
            }
        }
        self.untraced
            .extend(unseen.keys().map(|request_id| format!("card {request_id}")));
    }
}

/// Amounts may differ in trailing zeros.
fn same_amount(left: &str, right: &str) -> bool {
    let parse = |text: &str| text.parse::<rust_decimal::Decimal>().ok();
    parse(left).is_some() && parse(left) == parse(right)
}

#[cfg(test)]
mod tests {
    use super::{
        super::evidence::{Logged, Payout},
        *,
    };

    /// One postback that was answered and one that wasn't, a click, an order, a card.
    fn well() -> (Kept, Evidence) {
        let record = Kept {
            postbacks: [(1, true), (2, false)].into(),
            clicks: [7].into(),
            clicks_unanswered: 0,
            commission: [("A".to_owned(), 15_992)].into(),
        };
        let logged = |offset, request, heal| Logged {
            position: (0, offset),
            request: Some(request),
            heal,
        };
        let evidence = Evidence {
            logged: vec![logged(0, 1, false), logged(1, 1, true)],
            fates: [((0, 0), 1), ((0, 1), 1)].into(),
            clicks: [(7, 1)].into(),
            commission: [("A".to_owned(), 15_992)].into(),
            claims: 1,
            payouts: vec![Payout {
                request_id: "R".to_owned(),
                amount: "95".to_owned(),
                state: "funded".to_owned(),
            }],
            cards: [("R".to_owned(), "95.00".to_owned())].into(),
            ..Evidence::default()
        };
        (record, evidence)
    }

    #[test]
    fn what_is_well_is_clean() {
        let (record, evidence) = well();
        assert_eq!(Verdict::of(&record, &evidence), Verdict::default());
    }

    #[test]
    fn a_request_without_an_answer_may_count_once_and_not_twice() {
        let (record, mut evidence) = well();
        for (offset, doubled) in [(2, false), (3, true)] {
            evidence.logged.push(Logged {
                position: (0, offset),
                request: Some(2),
                heal: false,
            });
            evidence.fates.insert((0, offset), 1);
            let verdict = Verdict::of(&record, &evidence);
            assert_eq!(verdict.clean(), !doubled, "{verdict:?}");
            assert_eq!(verdict.doubled.len(), usize::from(doubled));
        }
    }

    #[test]
    fn each_loss_is_seen() {
        let losses: [fn(&mut Evidence); 4] = [
            |evidence| _ = evidence.logged.remove(0),
            |evidence| _ = evidence.fates.remove(&(0, 0)),
            |evidence| evidence.clicks.clear(),
            |evidence| evidence.cards.clear(),
        ];
        for lose in losses {
            let (record, mut evidence) = well();
            lose(&mut evidence);
            assert_eq!(Verdict::of(&record, &evidence).lost.len(), 1);
        }
    }

    #[test]
    fn each_doubling_is_seen() {
        let doublings: [fn(&mut Evidence); 3] = [
            |evidence| _ = evidence.fates.insert((0, 0), 2),
            |evidence| _ = evidence.clicks.insert(7, 2),
            |evidence| {
                let again = Logged {
                    position: (1, 0),
                    ..evidence.logged[0].clone()
                };
                evidence.fates.insert(again.position, 1);
                evidence.logged.push(again);
            },
        ];
        for double in doublings {
            let (record, mut evidence) = well();
            double(&mut evidence);
            assert_eq!(Verdict::of(&record, &evidence).doubled.len(), 1);
        }
    }

    #[test]
    fn what_nobody_asked_for_is_seen() {
        let additions: [fn(&mut Evidence); 4] = [
            |evidence| _ = evidence.fates.insert((9, 9), 1),
            |evidence| _ = evidence.clicks.insert(8, 1),
            |evidence| _ = evidence.cards.insert("S".to_owned(), "95".to_owned()),
            |evidence| evidence.claims_without_report = 1,
        ];
        for add in additions {
            let (record, mut evidence) = well();
            add(&mut evidence);
            assert_eq!(Verdict::of(&record, &evidence).untraced.len(), 1);
        }
    }

    #[test]
    fn wrong_money_is_seen() {
        let mistakes: [fn(&mut Evidence); 5] = [
            |evidence| _ = evidence.commission.insert("A".to_owned(), 31_984),
            |evidence| _ = evidence.commission.insert("B".to_owned(), 1),
            |evidence| evidence.unbalanced = 1,
            |evidence| "96".clone_into(&mut evidence.payouts[0].amount),
            |evidence| "cancelled".clone_into(&mut evidence.payouts[0].state),
        ];
        for mistake in mistakes {
            let (record, mut evidence) = well();
            mistake(&mut evidence);
            assert_eq!(Verdict::of(&record, &evidence).money.len(), 1);
        }
    }
}
