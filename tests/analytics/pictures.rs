//! The dashboards' queries of ClickHouse, on the real engine: with what Grafana's plugin puts in
//! the place of its macros.

use std::{fs, path::Path};

use serde_json::Value;

use crate::documented::{Engine, rows_of};

/// October 2026, of which the small world is.
const FROM: &str = "toDateTime('2026-10-01 00:00:00', 'UTC')";
const TO: &str = "toDateTime('2026-11-01 00:00:00', 'UTC')";

/// The statement that Grafana's plugin would send.
fn without_macros(sql: &str) -> String {
    let mut whole = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("$__") {
        whole.push_str(before);
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric());
        let (name, after) = after.split_at(end.unwrap_or(after.len()));
        let (expanded, after) = match name {
            "fromTime" => (FROM.to_owned(), after),
            "toTime" => (TO.to_owned(), after),
            "timeFilter" | "dateFilter" => {
                let (column, after) = after
                    .strip_prefix('(')
                    .and_then(|after| after.split_once(')'))
                    .expect("a column");
                let (from, to) = if name == "dateFilter" {
                    (format!("toDate({FROM})"), format!("toDate({TO})"))
                } else {
                    (FROM.to_owned(), TO.to_owned())
                };
                (format!("{column} >= {from} AND {column} <= {to}"), after)
            }
            other => panic!("the plugin has no macro $__{other}"),
        };
        whole.push_str(&expanded);
        rest = after;
    }
    whole.push_str(rest);
    whole
}

#[test]
fn macros_are_replaced_as_the_plugin_does() {
    assert_eq!(
        without_macros("a > $__toTime AND $__dateFilter(day)"),
        format!("a > {TO} AND day >= toDate({FROM}) AND day <= toDate({TO})")
    );
}

#[tokio::test]
async fn every_panel_of_the_dashboards_shows_something() {
    let engine = Engine::with_the_small_world().await;
    let client = engine.client();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards");
    let (mut asked, mut empty) = (0, Vec::new());
    for entry in fs::read_dir(directory).expect("the dashboards") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("readable");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                let Some(sql) = target["rawSql"].as_str() else {
                    continue;
                };
                asked += 1;
                if rows_of(&client, &without_macros(sql)).await.is_empty() {
                    empty.push(panel["title"].as_str().expect("a title").to_owned());
                }
            }
        }
    }
    assert!(asked > 15, "only {asked} panels ask ClickHouse");
    // The small world has no shopper with ten claims, and its aggregates no positions.
    empty.sort();
    assert_eq!(empty, ["Complete up to", "Shoppers with many claims"]);
    engine.stop().await;
}
