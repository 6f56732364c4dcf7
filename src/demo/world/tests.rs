use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn script(seed: u64, conversions: usize) -> Script {
    Script::write(seed, conversions, Timestamp::from_millis(1_790_000_000_000))
}

#[test]
fn one_seed_is_one_script() {
    assert_eq!(script(7, 3_000), script(7, 3_000));
    assert_ne!(script(7, 3_000).postbacks, script(8, 3_000).postbacks);
}

#[test]
fn every_defect_and_every_way_to_name_a_click_is_told() {
    let script = script(1, 2_000);
    let faults: HashSet<Fault> = script
        .postbacks
        .iter()
        .filter_map(|post| post.fault)
        .collect();
    assert_eq!(faults.len(), Fault::ALL.len());
    let has = |wanted: fn(&Reference) -> bool| {
        script
            .postbacks
            .iter()
            .any(|postback| wanted(&postback.reference))
    };
    assert!(has(|reference| matches!(reference, Reference::Number(_))));
    assert!(has(|reference| matches!(reference, Reference::Forged(_))));
    assert!(has(|reference| matches!(
        reference,
        Reference::UnknownKey(_)
    )));
    assert!(has(|reference| matches!(reference, Reference::Foreign(_))));
}

#[test]
fn a_step_never_uses_up_the_event_ids_of_its_millisecond() {
    let script = script(3, 60_000);
    assert!(script.steps.iter().all(|step| step.actions.len() <= 1_000));
    assert!(script.steps.is_sorted_by(|a, b| a.at < b.at));
}

#[test]
fn the_number_of_steps_is_moderate() {
    let steps = script(5, 10_000).steps.len();
    assert!((100..400).contains(&steps), "{steps}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_script_is_as_long_as_asked_and_in_order(seed: u64, conversions in 1_usize..1_500) {
        let script = script(seed, conversions);
        prop_assert_eq!(script.postbacks.len(), conversions);
        let mut seen_clicks = HashSet::new();
        let mut seen_postbacks = HashSet::new();
        let mut clock = script.started_at;
        for step in &script.steps {
            prop_assert!(step.at >= clock);
            clock = step.at;
            let before = seen_clicks.clone();
            for action in &step.actions {
                match *action {
                    Action::Click(number) => {
                        prop_assert!(seen_clicks.insert(number));
                        let click = &script.clicks[number];
                        prop_assert_eq!(click.at, step.at);
                        prop_assert!(click.clicked_at() <= step.at);
                    }
                    Action::Postback(number) => {
                        prop_assert!(seen_postbacks.insert(number));
                        let postback = &script.postbacks[number];
                        prop_assert_eq!((postback.at, postback.phase), (step.at, step.phase));
                        let sent_at = postback.report.converted_at;
                        prop_assert!(sent_at.is_none_or(|at| at <= step.at));
                        if let Some(click) = postback.reference.found() {
                            prop_assert!(before.contains(&click), "a report before its click");
                        }
                    }
                }
            }
        }
        prop_assert_eq!(seen_clicks.len(), script.clicks.len());
        prop_assert_eq!(seen_postbacks.len(), script.postbacks.len());
    }

    /// What arrives at one instant must not depend on the order of arrival.
    #[test]
    fn reports_of_one_click_share_an_instant_only_if_they_are_the_same(seed: u64) {
        let script = script(seed, 1_500);
        let mut by_instant: HashMap<_, &Postback> = HashMap::new();
        for postback in &script.postbacks {
            let Some(click) = postback.reference.found() else { continue };
            if postback.fault.is_some() {
                continue;
            }
            if let Some(other) = by_instant.insert((click, postback.at), postback) {
                prop_assert_eq!(&other.report, &postback.report);
            }
        }
    }

    #[test]
    fn claimants_of_one_order_are_reported_at_different_instants(seed: u64) {
        let script = script(seed, 1_500);
        let mut clicks = HashMap::new();
        for postback in &script.postbacks {
            let Some(click) = postback.reference.found() else { continue };
            let report = &postback.report;
            if postback.fault.is_some() || report.txn_id.is_none() {
                continue;
            }
            let offer_id = script.seeds.offer_of(script.clicks[click].link).offer_id;
            if offer_id == market::INSURANCE {
                continue;
            }
            let order = (offer_id, report.txn_id.clone(), report.goal_id.clone(), postback.at);
            let other = clicks.insert(order, click);
            prop_assert!(other.is_none_or(|other| other == click));
        }
    }
}
