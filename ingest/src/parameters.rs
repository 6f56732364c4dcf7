//! The parameters of a report that ingest reads, decoded from a query, a form or JSON.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode;
use schemas::events::Malformed;
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A parameter that ingest reads. Any other is kept in the report's raw bytes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the wire names in `NAMES` say it")]
pub enum Parameter {
    ClickId,
    P1,
    OfferId,
    CampaignId,
    SaleAmount,
    Sale,
    Status,
    ConversionStatus,
    TxnId,
    Payout,
    Currency,
    GoalId,
    ConversionId,
    UnderscoreId,
    ConvertedAt,
    Created,
    Country,
    Network,
    SecurityToken,
}

/// Each parameter's name on the wire, in the order of the enum.
const NAMES: [(&str, Parameter); COUNT] = [
    ("click_id", Parameter::ClickId),
    ("p1", Parameter::P1),
    ("offer_id", Parameter::OfferId),
    ("campaign_id", Parameter::CampaignId),
    ("sale_amount", Parameter::SaleAmount),
    ("sale", Parameter::Sale),
    ("status", Parameter::Status),
    ("conversion_status", Parameter::ConversionStatus),
    ("txn_id", Parameter::TxnId),
    ("payout", Parameter::Payout),
    ("currency", Parameter::Currency),
    ("goal_id", Parameter::GoalId),
    ("conversion_id", Parameter::ConversionId),
    ("_id", Parameter::UnderscoreId),
    ("converted_at", Parameter::ConvertedAt),
    ("created", Parameter::Created),
    ("country", Parameter::Country),
    ("network", Parameter::Network),
    ("security_token", Parameter::SecurityToken),
];

const COUNT: usize = 19;

impl Parameter {
    /// The parameter of this name, if it is one that ingest reads. Names are case-sensitive.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, parameter)| *parameter)
    }
}

/// The values of the parameters that ingest reads. Of several values of one name the last that is
/// present counts, so that what is inserted later (the body, after the query) wins.
///
/// A value is absent, rather than empty, when it is blank or an unexpanded macro such as
/// `{sale_amount}`: networks send both for what they don't know. Surrounding white space is not
/// part of a value.
#[derive(Clone, Default)]
pub struct Parameters<'a> {
    values: [Option<Cow<'a, str>>; COUNT],
}

impl<'a> Parameters<'a> {
    /// Takes a value in. Names that ingest doesn't read and absent values change nothing.
    pub fn insert(&mut self, name: &str, value: impl Into<Cow<'a, str>>) {
        if let Some(parameter) = Parameter::named(name.as_bytes()) {
            self.set(parameter, value.into());
        }
    }

    /// The value of a parameter, trimmed; `None` when absent.
    pub fn get(&self, parameter: Parameter) -> Option<&str> {
        self.values[parameter as usize].as_deref().map(str::trim)
    }

    /// The first of these parameters that is present.
    pub fn first_of(&self, aliases: &[Parameter]) -> Option<&str> {
        aliases.iter().find_map(|parameter| self.get(*parameter))
    }

    /// Whether a value holds a NUL, which PostgreSQL's text can't.
    pub fn hold_nul(&self) -> bool {
        self.values
            .iter()
            .flatten()
            .any(|value| value.contains('\0'))
    }

    fn set(&mut self, parameter: Parameter, value: Cow<'a, str>) {
        let trimmed = value.trim();
        let unexpanded = trimmed.starts_with('{') && trimmed.ends_with('}');
        if !trimmed.is_empty() && !unexpanded {
            self.values[parameter as usize] = Some(value);
        }
    }

    /// Takes in a query string or a form: `name=value` pairs, percent-encoded, with `+` for a
    /// space.
    ///
    /// # Errors
    /// [`Malformed::NotUtf8`] when the value of a parameter that ingest reads is not UTF-8; the
    /// other pairs are taken in all the same. What ingest doesn't read may be in any encoding.
    pub fn insert_pairs(&mut self, pairs: &'a [u8]) -> Result<(), Malformed> {
        let mut outcome = Ok(());
        for pair in pairs.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let Some(parameter) = Parameter::named(&name) else {
                continue;
            };
            match to_text(decode(halves.next().unwrap_or_default())) {
                Some(value) => self.set(parameter, value),
                None => outcome = Err(Malformed::NotUtf8),
            }
        }
        outcome
    }

    /// Takes in a JSON object of strings, numbers, booleans and nulls. Numbers keep the digits
    /// that they were written with: no amount passes through a float.
    ///
    /// # Errors
    /// [`Malformed::NotUtf8`], or [`Malformed::JsonInvalid`] for anything but such an object; then
    /// nothing is taken in.
    pub fn insert_json(&mut self, json: &'a [u8]) -> Result<(), Malformed> {
        let text = std::str::from_utf8(json).map_err(|_| Malformed::NotUtf8)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer
            .deserialize_map(Members)
            .map_err(|_| Malformed::JsonInvalid)?;
        deserializer.end().map_err(|_| Malformed::JsonInvalid)?;
        let mut plain = Vec::new();
        for (name, raw) in members {
            let parameter = Parameter::named(name.as_bytes());
            if let (Some(parameter), Some(value)) = (parameter, plain_value(raw)?) {
                plain.push((parameter, value));
            }
        }
        for (parameter, value) in plain {
            self.set(parameter, value);
        }
        Ok(())
    }
}

impl fmt::Debug for Parameters<'_> {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = NAMES
            .iter()
            .filter(|(_, parameter)| self.get(*parameter).is_some());
        f.debug_set()
            .entries(present.map(|(name, _)| name))
            .finish()
    }
}

/// Decodes one half of a pair: `+` to a space, then percent-encoding. A stray `%` stands for
/// itself.
pub(crate) fn decode(encoded: &[u8]) -> Cow<'_, [u8]> {
    if !encoded.contains(&b'+') {
        return percent_decode(encoded).into();
    }
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn to_text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The text of a plain JSON value; `None` for null.
fn plain_value(raw: &RawValue) -> Result<Option<Cow<'_, str>>, Malformed> {
    let literal = raw.get();
    match literal.as_bytes().first() {
        Some(b'"') => {
            let text = serde_json::from_str::<String>(literal);
            text.map(|text| Some(Cow::Owned(text)))
                .map_err(|_| Malformed::JsonInvalid)
        }
        Some(b'{' | b'[') | None => Err(Malformed::JsonInvalid),
        Some(b'n') => Ok(None),
        Some(_) => Ok(Some(Cow::Borrowed(literal))),
    }
}

/// The members of a JSON object, in order, with repeated names as often as they stand there.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of plain values")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Parameters<'_> {
        let mut parameters = Parameters::default();
        parameters.insert_pairs(text.as_bytes()).expect("UTF-8");
        parameters
    }

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, (name, parameter)) in NAMES.iter().enumerate() {
            assert_eq!(*parameter as usize, index, "{name}");
        }
    }

    #[test]
    fn pairs_are_decoded_and_trimmed() {
        let parameters = pairs("txn_id=+A%2B1+2%20&goal_id=%C3%A9&%63ountry=IN&status=100%&&=&x");
        assert_eq!(parameters.get(Parameter::TxnId), Some("A+1 2"));
        assert_eq!(parameters.get(Parameter::GoalId), Some("é"));
        assert_eq!(parameters.get(Parameter::Country), Some("IN"));
        assert_eq!(parameters.get(Parameter::Status), Some("100%"));
    }

    #[test]
    fn blanks_and_unexpanded_macros_are_absent_and_override_nothing() {
        let parameters =
            pairs("status=approved&status=&status=%20&status=%7Bstatus%7D&status={status}&p1={}");
        assert_eq!(parameters.get(Parameter::Status), Some("approved"));
        assert_eq!(parameters.get(Parameter::P1), None);
    }

    #[test]
    fn the_last_present_value_counts() {
        let mut parameters = pairs("status=pending&status=approved&txn_id=1");
        parameters
            .insert_json(br#"{"txn_id": "2", "status": null, "goal_id": ""}"#)
            .expect("json");
        assert_eq!(parameters.get(Parameter::Status), Some("approved"));
        assert_eq!(parameters.get(Parameter::TxnId), Some("2"));
        assert_eq!(parameters.get(Parameter::GoalId), None);
    }

    #[test]
    fn json_numbers_keep_their_digits() {
        let json = br#"{"sale_amount": 1234567890123.123456, "payout": 0.1,
            "click_id": 9223372036854775807, "status": true, "sub1": 1e400}"#;
        let mut parameters = Parameters::default();
        parameters.insert_json(json).expect("plain");
        assert_eq!(
            parameters.get(Parameter::SaleAmount),
            Some("1234567890123.123456")
        );
        assert_eq!(parameters.get(Parameter::Payout), Some("0.1"));
        assert_eq!(
            parameters.get(Parameter::ClickId),
            Some("9223372036854775807")
        );
        assert_eq!(parameters.get(Parameter::Status), Some("true"));
    }

    #[test]
    fn other_json_is_refused_whole() {
        let deep = vec![b'['; 100_000];
        let nested = [b"{\"sub1\":".as_slice(), &deep].concat();
        let cases: [&[u8]; 13] = [
            b"{",
            b"[]",
            b"1",
            b"\"a\"",
            b"null",
            b"",
            b"{} {}",
            b"{\"txn_id\": NaN}",
            br#"{"txn_id": "1", "sub1": {}}"#,
            br#"{"txn_id": "1", "p1": [1]}"#,
            br#"{"txn_id": "\ud800"}"#,
            &deep,
            &nested,
        ];
        for json in cases {
            let mut parameters = Parameters::default();
            let outcome = parameters.insert_json(json);
            assert_eq!(
                outcome,
                Err(Malformed::JsonInvalid),
                "{}",
                json.escape_ascii()
            );
            assert_eq!(parameters.get(Parameter::TxnId), None);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_matter_only_where_they_are_read() {
        let mut parameters = Parameters::default();
        let outcome = parameters.insert_pairs(b"txn_id=%FF&p1=7&goal_id=\xFE");
        assert_eq!(outcome, Err(Malformed::NotUtf8));
        assert_eq!(parameters.get(Parameter::P1), Some("7"));
        assert_eq!(parameters.insert_pairs(b"sub1=%FF&%FF=1"), Ok(()));
        assert_eq!(
            parameters.insert_json(b"{\"sub1\": \"\xFF\"}"),
            Err(Malformed::NotUtf8)
        );
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(
            format!("{:?}", pairs("security_token=s3cret&p1=7")),
            r#"{"p1", "security_token"}"#
        );
    }
}
