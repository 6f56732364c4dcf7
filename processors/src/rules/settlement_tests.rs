//! What is evaluated.

use super::*;
use crate::rules::fixtures::{self, T0};

/// Claims 1 and 2 of two clicks of one user, an hour apart; the second names order A.
fn two_clicks() -> Neighbourhood {
    let report = |number: i64, hours: i64| {
        let mut report = fixtures::report(number).build();
        report.matched.click = fixtures::click(number, Some(9));
        report.matched.click.clicked_at = T0.plus_millis(hours * 3_600_000);
        report
    };
    let mut second = report(2, 1);
    second.fields.txn_id = Some("A".to_owned());
    Neighbourhood {
        reports: [
            (ClickId::new(1), vec![report(1, 0)]),
            (ClickId::new(2), vec![second]),
        ]
        .into(),
        ..Neighbourhood::default()
    }
}

fn evaluated(scope: &Scope) -> Vec<i64> {
    settle(&two_clicks(), scope)
        .iter()
        .map(|state| state.name.get())
        .collect()
}

#[test]
fn only_the_claims_of_the_scope_are_evaluated() {
    assert_eq!(evaluated(&Scope::default()), Vec::<i64>::new());
    let clicks = Scope {
        clicks: [ClickId::new(1)].into(),
        ..Scope::default()
    };
    assert_eq!(evaluated(&clicks), [1]);
    let key = two_clicks().reports[&ClickId::new(2)][0].order_key();
    let orders = Scope {
        orders: key.into_iter().collect(),
        ..Scope::default()
    };
    assert_eq!(evaluated(&orders), [2]);
    let user = fixtures::click(1, Some(9)).user_id.expect("a user");
    let users = |from, to| Scope {
        users: [(user, (T0.plus_millis(from), T0.plus_millis(to)))].into(),
        ..Scope::default()
    };
    assert_eq!(evaluated(&users(0, 0)), [1]);
    assert_eq!(evaluated(&users(1, 3_600_000)), [2]);
    assert_eq!(evaluated(&users(1, 3_599_999)), Vec::<i64>::new());
}
