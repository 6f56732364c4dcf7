//! The stories that the script is made of.
//!
//! Each is told with everything that its outcome rests on; none says what the outcome is. That is
//! the oracle's to find out.

mod changes;
mod fraud;
mod late;
mod naming;
mod plain;
mod refused;
mod velocity;

use super::planner::Planner;

/// One story: it plans its clicks and postbacks.
type Story = fn(&mut Planner);

/// Idle clicks for each hundred postbacks.
const IDLE_CLICKS_OF_100: usize = 12;

/// Stories that are told once, for what they show.
const SHOWCASE: [Story; 8] = [
    plain::the_example_of_the_design,
    plain::smallest_largest_and_finest,
    fraud::anniversary_of_an_order,
    late::refund_that_leaves_a_debt,
    late::refund_that_later_earnings_fill,
    late::more_than_one_card,
    late::nobody_is_paid_unidentified,
    refused::every_defect,
];

/// Every other story, with how often it is told.
const REPERTOIRE: [(u32, Story); 51] = [
    (300, plain::approved_at_once),
    (230, plain::pending_then_approved),
    (60, plain::still_pending),
    (60, plain::redelivered),
    (20, plain::fired_twice_at_once),
    (30, plain::approved_by_a_bare_status),
    (10, changes::extended_then_approved),
    (10, changes::undocumented_status),
    (20, changes::cancelled_before_approval),
    (8, changes::refused_as_fraud),
    (15, changes::cancelled_after_approval),
    (20, changes::amended),
    (6, changes::amended_twice),
    (8, changes::amended_and_back),
    (12, changes::approved_before_pending),
    (6, changes::approved_after_cancelled),
    (6, changes::amended_by_a_pending_report),
    (12, late::refunded_after_payment),
    (20, late::approved_late),
    (10, late::amended_late),
    (12, late::reported_late),
    (8, late::named_by_number),
    (4, naming::two_orders_of_one_click),
    (4, naming::two_goals_of_one_click),
    (4, naming::by_conversion_id_alone),
    (4, naming::without_a_name),
    (3, naming::without_a_name_and_two_amounts),
    (4, naming::transaction_ids_that_are_no_orders),
    (8, refused::malformed),
    (8, refused::click_unknown),
    (6, refused::after_the_window),
    (3, refused::receipt_after_the_window),
    (3, refused::edge_of_the_window),
    (4, refused::other_currency),
    (3, refused::above_the_cap),
    (3, refused::another_offer),
    (4, refused::without_an_amount),
    (4, fraud::self_purchase),
    (6, fraud::order_claimed_twice),
    (2, fraud::three_claimants),
    (3, fraud::same_number_at_another_offer),
    (2, fraud::same_number_for_another_goal),
    (2, fraud::numbers_that_come_again),
    (5, fraud::everything_speaks_against_it),
    (4, fraud::something_speaks_against_it),
    (2, fraud::too_soon),
    (2, velocity::burst),
    (1, velocity::burst_at_the_edge),
    (1, velocity::burst_completed_late),
    (1, velocity::burst_completed_too_late),
    (1, velocity::burst_with_a_duplicate),
];

/// Tells stories until the script has exactly `postbacks` postbacks. One that would be too long
/// for what is left isn't told.
pub fn tell(planner: &mut Planner, postbacks: usize) {
    let once = SHOWCASE
        .iter()
        .chain(REPERTOIRE.iter().map(|(_, story)| story));
    for story in once {
        attempt(planner, *story, postbacks);
    }
    let total: u32 = REPERTOIRE.iter().map(|(weight, _)| weight).sum();
    while planner.postbacks() < postbacks {
        let most = total as usize - 1;
        let mut left = u32::try_from(planner.between(0, most)).unwrap_or(0);
        for (weight, story) in REPERTOIRE {
            if left < weight {
                attempt(planner, story, postbacks);
                break;
            }
            left -= weight;
        }
    }
    for _ in 0..postbacks * IDLE_CLICKS_OF_100 / 100 {
        planner.idle_click();
    }
}

/// Tells a story, or takes it back if it is too long.
fn attempt(planner: &mut Planner, story: Story, postbacks: usize) {
    let mark = planner.mark();
    story(planner);
    if planner.postbacks() > postbacks {
        planner.back_to(mark);
    }
}
