//! Delivery reports, as gateways post them: a flat JSON object or a form, with names that differ.

use std::collections::BTreeMap;

use super::Reference;

/// What a report says of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The message, where the gateway repeats our reference.
    pub reference: Option<Reference>,
    /// The gateway's own id of it.
    pub gateway_id: Option<String>,
    /// What became of it.
    pub state: DeliveryState,
}

/// What became of a message that the gateway took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is there.
    Delivered,
    /// It will not be.
    Failed,
    /// Neither yet.
    Underway,
}

/// How this gateway writes its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFields {
    /// Where it repeats our reference.
    pub reference: String,
    /// Where it writes its own id.
    pub id: String,
    /// Where it says what became of the message.
    pub status: String,
    /// What it says of a message that is there.
    pub delivered: Vec<String>,
    /// What it says of one that won't be. Anything else counts as under way.
    pub failed: Vec<String>,
}

impl Default for ReportFields {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            reference: "reference".to_owned(),
            id: "id".to_owned(),
            status: "status".to_owned(),
            delivered: texts(&["delivered", "DELIVRD"]),
            failed: texts(&[
                "failed",
                "undelivered",
                "rejected",
                "expired",
                "UNDELIV",
                "REJECTD",
                "EXPIRED",
            ]),
        }
    }
}

/// A body that is no delivery report. What it says is not repeated: it may hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableReport {
    /// Neither a JSON object nor a form.
    #[error("a delivery report is a JSON object or a form")]
    Form,
    /// It names no message.
    #[error("the delivery report names no message")]
    NoMessage,
    /// It doesn't say what became of it.
    #[error("the delivery report has no status")]
    NoStatus,
}

impl ReportFields {
    /// Reads a report.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(&self, body: &[u8]) -> Result<DeliveryReport, UnreadableReport> {
        let fields = fields(body).ok_or(UnreadableReport::Form)?;
        let reference = fields
            .get(&self.reference)
            .and_then(|text| text.parse().ok());
        let gateway_id = fields.get(&self.id).cloned();
        if reference.is_none() && gateway_id.is_none() {
            return Err(UnreadableReport::NoMessage);
        }
        let status = fields.get(&self.status).ok_or(UnreadableReport::NoStatus)?;
        let says = |words: &[String]| words.iter().any(|word| word.eq_ignore_ascii_case(status));
        let state = if says(&self.delivered) {
            DeliveryState::Delivered
        } else if says(&self.failed) {
            DeliveryState::Failed
        } else {
            DeliveryState::Underway
        };
        Ok(DeliveryReport {
            reference,
            gateway_id,
            state,
        })
    }
}

/// The texts and numbers of a flat JSON object, or the fields of a form.
fn fields(body: &[u8]) -> Option<BTreeMap<String, String>> {
    if let Ok(object) = serde_json::from_slice::<serde_json::Map<_, _>>(body) {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        };
        let texts = object
            .into_iter()
            .filter_map(|(name, value)| Some((name, text(value)?)));
        return Some(texts.collect());
    }
    let form = std::str::from_utf8(body).ok()?;
    if !form.contains('=') {
        return None;
    }
    let url = reqwest::Url::parse(&format!("form:?{form}")).ok()?;
    Some(url.query_pairs().into_owned().collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const REFERENCE: Reference = Reference {
        message_id: Uuid::from_u128(9),
        resends: 1,
    };

    #[test]
    fn a_report_is_json_or_a_form() {
        let fields = ReportFields::default();
        let json = format!(r#"{{"reference":"{REFERENCE}","status":"Delivered","x":[1]}}"#);
        let delivered = DeliveryReport {
            reference: Some(REFERENCE),
            gateway_id: None,
            state: DeliveryState::Delivered,
        };
        assert_eq!(fields.read(json.as_bytes()), Ok(delivered));
        let failed = DeliveryReport {
            reference: None,
            gateway_id: Some("SM 1+2".to_owned()),
            state: DeliveryState::Failed,
        };
        assert_eq!(fields.read(b"id=SM+1%2B2&status=undelivered"), Ok(failed));
        let underway = fields.read(br#"{"id":77,"status":"queued"}"#);
        let underway = underway.expect("a report");
        assert_eq!(underway.gateway_id.as_deref(), Some("77"));
        assert_eq!(underway.state, DeliveryState::Underway);
    }

    #[test]
    fn names_and_words_are_the_gateways() {
        let fields = ReportFields {
            id: "MessageSid".to_owned(),
            status: "MessageStatus".to_owned(),
            delivered: vec!["arrived".to_owned()],
            ..ReportFields::default()
        };
        let report = fields.read(b"MessageSid=1&MessageStatus=ARRIVED");
        assert_eq!(
            report.map(|report| report.state),
            Ok(DeliveryState::Delivered)
        );
        assert_eq!(
            fields.read(b"id=1&status=delivered"),
            Err(UnreadableReport::NoMessage)
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let fields = ReportFields::default();
        assert_eq!(fields.read(b""), Err(UnreadableReport::Form));
        assert_eq!(fields.read(b"\xff=\xff"), Err(UnreadableReport::Form));
        assert_eq!(fields.read(b"[]"), Err(UnreadableReport::Form));
        assert_eq!(fields.read(b"{}"), Err(UnreadableReport::NoMessage));
        assert_eq!(
            fields.read(b"reference=somebody-elses"),
            Err(UnreadableReport::NoMessage)
        );
        assert_eq!(fields.read(b"id=1"), Err(UnreadableReport::NoStatus));
    }
}
