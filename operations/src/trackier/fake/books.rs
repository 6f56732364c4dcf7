//! What the fake knows, and its honest answers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Asked, Change, Fault, refused};

/// The most rows that Trackier puts on a page.
const PAGE_ROWS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Books {
    pub(super) api_key: String,
    pub(super) conversions: Vec<Value>,
    pub(super) campaigns: Vec<Value>,
    pub(super) page_rows: usize,
    pub(super) overlap_rows: usize,
    pub(super) totals_hidden: bool,
    pub(super) faults: VecDeque<Fault>,
    /// Each with the number of requests after which it happens.
    pub(super) changes: Vec<(usize, Change)>,
    pub(super) asked: Vec<Asked>,
    pub(super) requests_per_second: Option<usize>,
    recent: VecDeque<Instant>,
}

impl Books {
    pub(super) fn new(api_key: &str) -> Self {
        Self {
            api_key: api_key.to_owned(),
            conversions: Vec::new(),
            campaigns: Vec::new(),
            page_rows: PAGE_ROWS_MAX,
            overlap_rows: 0,
            totals_hidden: false,
            faults: VecDeque::new(),
            changes: Vec::new(),
            asked: Vec::new(),
            requests_per_second: None,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn answer(
        &mut self,
        path: &str,
        query: &BTreeMap<String, String>,
        key: Option<&str>,
    ) -> Response {
        if key != Some(self.api_key.as_str()) {
            return refused(StatusCode::BAD_REQUEST, 102, "Invalid API Key");
        }
        if self.too_many() {
            let wait = [(header::RETRY_AFTER, "1")];
            return (StatusCode::TOO_MANY_REQUESTS, wait).into_response();
        }
        match path {
            "/v2/publishers/conversions" => self.list_conversions(query),
            "/v2/publisher/campaigns" => {
                let number = page_number(query);
                let page = self.cut(self.campaigns.iter().collect(), number);
                let mut data = json!({"campaigns": page, "page": number});
                if !self.totals_hidden {
                    data["count"] = self.campaigns.len().into();
                }
                Json(json!({"success": true, "data": data})).into_response()
            }
            _ => refused(StatusCode::NOT_FOUND, 404, "Resource Not Found"),
        }
    }

    fn too_many(&mut self) -> bool {
        let Some(most) = self.requests_per_second else {
            return false;
        };
        let now = Instant::now();
        let within = |at: &Instant| now.duration_since(*at) < Duration::from_secs(1);
        self.recent.retain(within);
        if self.recent.len() >= most {
            return true;
        }
        self.recent.push_back(now);
        false
    }

    fn list_conversions(&self, query: &BTreeMap<String, String>) -> Response {
        let (Some(start), Some(end)) = (query.get("start"), query.get("end")) else {
            return refused(StatusCode::BAD_REQUEST, 100, "start and end are required");
        };
        let day_of = |one: &Value| {
            one["created"]
                .as_str()
                .and_then(|at| at.get(..10))
                .map(str::to_owned)
        };
        let within = |one: &&Value| day_of(one).is_some_and(|day| (start..=end).contains(&&day));
        let listed: Vec<&Value> = self.conversions.iter().filter(within).collect();
        let (total, number) = (listed.len(), page_number(query));
        let page = self.cut(listed, number);
        let mut body = json!({"conversions": page});
        if !self.totals_hidden {
            body["pagination"] = json!({
                "perPage": self.page_rows, "currentPage": number, "total": total
            });
        }
        Json(body).into_response()
    }

    fn cut<'a>(&self, rows: Vec<&'a Value>, number: usize) -> Vec<&'a Value> {
        let start = (number - 1) * self.page_rows;
        let rows = rows.into_iter().take(start + self.page_rows);
        rows.skip(start.saturating_sub(self.overlap_rows)).collect()
    }

    /// What is due to happen by now.
    pub(super) fn change(&mut self) {
        let asked = self.asked.len();
        let changes = std::mem::take(&mut self.changes);
        for (at, change) in changes {
            if at > asked {
                self.changes.push((at, change));
                continue;
            }
            match change {
                Change::Insert(conversion) => self.conversions.insert(0, conversion),
                Change::Remove(id) => self.conversions.retain(|one| one["_id"] != *id),
                Change::Status(id, status) => {
                    for one in self.conversions.iter_mut().filter(|one| one["_id"] == *id) {
                        one["status"] = status.into();
                    }
                }
            }
        }
    }
}

/// Pages count from 1.
fn page_number(query: &BTreeMap<String, String>) -> usize {
    let asked = query.get("page").and_then(|page| page.parse().ok());
    asked.unwrap_or(1).max(1)
}
