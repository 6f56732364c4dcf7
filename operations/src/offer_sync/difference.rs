//! In what an offer's saved terms and the network's differ. Pure.

use std::collections::BTreeSet;

use schemas::{events::Rate, reference::OfferTerms};
use serde::Serialize;

use super::mapping::NetworkTerms;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Which.
    pub field: String,
    /// What is saved; absent where nothing is.
    pub old: Option<String>,
    /// What the network says; absent where it says nothing any more.
    pub new: Option<String>,
    /// Whether it changes what conversions come to.
    pub money: bool,
}

/// Rates of the saved terms and the network's, each under its field's name.
fn rates<'a>(
    commission: Rate,
    goals: impl Iterator<Item = (&'a String, &'a Rate)>,
) -> Vec<(String, Rate)> {
    let goals = goals.map(|(goal, rate)| (format!("goal_rates.{goal}"), *rate));
    [("commission".to_owned(), commission)]
        .into_iter()
        .chain(goals)
        .collect()
}

/// What differs.
pub(super) fn between(saved: &OfferTerms, listed: &NetworkTerms) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut tell = |field: String, old: Option<String>, new: Option<String>, money| {
        if old != new {
            changes.push(FieldChange {
                field,
                old,
                new,
                money,
            });
        }
    };
    let currencies = (saved.currency.to_string(), listed.currency.to_string());
    tell(
        "currency".to_owned(),
        Some(currencies.0),
        Some(currencies.1),
        true,
    );
    let old = rates(saved.commission, saved.goal_rates.iter());
    let new = rates(listed.commission, listed.goal_rates.iter());
    let fields: BTreeSet<&String> = old.iter().chain(&new).map(|(field, _)| field).collect();
    let named = |rates: &[(String, Rate)], field: &String| {
        let found = rates.iter().find(|(name, _)| name == field);
        found.map(|(_, rate)| text(*rate))
    };
    for field in fields {
        tell(field.clone(), named(&old, field), named(&new, field), true);
    }
    let links = (saved.tracking_url.clone(), listed.tracking_url.clone());
    tell(
        "tracking_url".to_owned(),
        Some(links.0),
        Some(links.1),
        false,
    );
    changes
}

/// Terms of an offer that is new here.
pub(super) fn told(listed: &NetworkTerms) -> Vec<FieldChange> {
    let told = |field: String, new: String, money| FieldChange {
        field,
        old: None,
        new: Some(new),
        money,
    };
    let rates = rates(listed.commission, listed.goal_rates.iter());
    let rates = rates
        .into_iter()
        .map(|(field, rate)| told(field, text(rate), true));
    [told(
        "currency".to_owned(),
        listed.currency.to_string(),
        true,
    )]
    .into_iter()
    .chain(rates)
    .chain([told(
        "tracking_url".to_owned(),
        listed.tracking_url.clone(),
        false,
    )])
    .collect()
}

fn text(rate: Rate) -> String {
    match rate {
        Rate::Percentage(percentage) => format!("{percentage}%"),
        Rate::Flat(amount) => amount.to_string(),
    }
}
