//! Personal data and secrets stay out of the log (design section 3): the values of configured
//! parameters are replaced in a report's raw bytes before anything is written.
//!
//! The scanners work on bytes, not on parsed values: what stands in the log is the original but
//! for the redacted values, and a body that is cut off or broken is redacted as far as it goes.

use std::ops::Range;

use crate::parameters::decode;

/// What stands in place of a redacted value.
const MARK: &[u8] = b"[redacted]";

/// The parameters that are redacted by default.
pub const DEFAULT_NAMES: [&str; 26] = [
    "security_token",
    "api_key",
    "password",
    "phone",
    "phone_number",
    "mobile",
    "msisdn",
    "email",
    "email_id",
    "customer_*",
    "user_name",
    "user_email",
    "user_phone",
    "name",
    "first_name",
    "last_name",
    "full_name",
    "address",
    "ip",
    "ip_address",
    "ipaddr",
    "click_ip",
    "clickip",
    "user_agent",
    "click_ua",
    "ua",
];

/// How bytes are written, which decides how values are found in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// A query string or a form.
    Pairs,
    /// JSON.
    Json,
    /// Anything: a value is what follows a redacted name, whatever stands between. Takes away
    /// more rather than less.
    Unknown,
}

/// Which parameters are redacted.
#[derive(Debug, Clone)]
pub struct Redaction {
    /// Lower case.
    names: Vec<Vec<u8>>,
    /// What comes before the `*` of a pattern, lower case.
    prefixes: Vec<Vec<u8>>,
}

/// A name in the list of redacted parameters can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't be redacted: a name is letters, digits, `_` and `-`, with `*` at its end at most"
)]
pub struct RedactionError(pub String);

impl Redaction {
    /// For these parameters, in any case; a `*` at the end stands for any rest.
    ///
    /// # Errors
    /// For a name that is empty or holds anything but ASCII letters, digits, `_` and `-`.
    pub fn new<S: AsRef<str>>(names: &[S]) -> Result<Self, RedactionError> {
        let mut redaction = Self {
            names: Vec::new(),
            prefixes: Vec::new(),
        };
        for name in names {
            let name = name.as_ref();
            let (stem, list) = match name.strip_suffix('*') {
                Some(stem) => (stem, &mut redaction.prefixes),
                None => (name, &mut redaction.names),
            };
            if stem.is_empty() || !stem.bytes().all(name_byte) {
                return Err(RedactionError(name.to_owned()));
            }
            list.push(stem.to_ascii_lowercase().into_bytes());
        }
        Ok(redaction)
    }

    /// The bytes, with the redacted parameters' values replaced.
    pub fn redact(&self, bytes: &[u8], syntax: Syntax) -> Vec<u8> {
        let values = match syntax {
            Syntax::Pairs => self.values_in_pairs(bytes),
            Syntax::Json => self.values_in_json(bytes),
            Syntax::Unknown => self.values_anywhere(bytes),
        };
        let mark: &[u8] = match syntax {
            Syntax::Pairs | Syntax::Unknown => MARK,
            Syntax::Json => b"\"[redacted]\"",
        };
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut copied_to = 0;
        for value in values {
            redacted.extend_from_slice(&bytes[copied_to..value.start]);
            redacted.extend_from_slice(mark);
            copied_to = value.end;
        }
        redacted.extend_from_slice(&bytes[copied_to..]);
        redacted
    }

    fn covers(&self, name: &[u8]) -> bool {
        self.names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
            || self.prefixes.iter().any(|prefix| {
                name.get(..prefix.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            })
    }

    fn values_in_pairs(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut values = Vec::new();
        let mut start = 0;
        for pair in bytes.split(|byte| *byte == b'&') {
            let end = start + pair.len();
            if let Some(equals) = pair.iter().position(|byte| *byte == b'=')
                && equals + 1 < pair.len()
                && self.covers(decode(&pair[..equals]).trim_ascii())
            {
                values.push(start + equals + 1..end);
            }
            start = end + 1;
        }
        values
    }

    /// A name is a string before a colon, at any depth; its value may be a string, a plain word
    /// or a whole object or array.
    fn values_in_json(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut values = Vec::new();
        let mut at = 0;
        while let Some(quote) = position_from(bytes, at, |byte| byte == b'"') {
            let end = string_end(bytes, quote);
            at = end;
            let after = skip_space(bytes, end);
            if bytes.get(after) != Some(&b':') {
                continue;
            }
            let name = &bytes[quote..end];
            let value = skip_space(bytes, after + 1);
            at = value;
            if self.covers(json_text(name).trim_ascii()) && value < bytes.len() {
                at = json_value_end(bytes, value);
                values.push(value..at);
            }
        }
        values
    }

    fn values_anywhere(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let between = |byte: u8| byte.is_ascii_whitespace() || b"\"'=:<>![]\\".contains(&byte);
        let ends = |byte: u8| b"&\"'<,;}\r\n\\".contains(&byte);
        let mut values = Vec::new();
        let mut at = 0;
        while let Some(start) = position_from(bytes, at, name_byte) {
            let end = position_from(bytes, start, |byte| !name_byte(byte)).unwrap_or(bytes.len());
            at = end;
            if !self.covers(&bytes[start..end]) {
                continue;
            }
            // Without anything between, there is no name and value, only a word that ends.
            let value = position_from(bytes, end, |byte| !between(byte)).unwrap_or(bytes.len());
            if bytes[..value].ends_with(b"[") && bytes[value - 1..].starts_with(MARK) {
                // Already done, by a scan for another syntax.
                at = value - 1 + MARK.len();
            } else if value > end && value < bytes.len() {
                at = position_from(bytes, value, ends).unwrap_or(bytes.len());
                if self.covers(&bytes[value..at]) {
                    // `name="phone"` of a multipart form: what goes is what follows `phone`.
                    at = value;
                } else if at > value {
                    values.push(value..at);
                }
            }
        }
        values
    }
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn position_from(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    bytes
        .get(from..)?
        .iter()
        .position(|byte| wanted(*byte))
        .map(|found| from + found)
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    position_from(bytes, from, |byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len())
}

/// Where the string that opens at `quote` ends, its closing quote included; the end of the bytes
/// if it is cut off.
fn string_end(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The text of a JSON string; its bytes between the quotes if it is broken.
fn json_text(quoted: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<String>(quoted) {
        Ok(text) => text.into_bytes(),
        Err(_) => quoted.strip_prefix(b"\"").unwrap_or(quoted).to_vec(),
    }
}

/// Where the value that starts at `value` ends.
fn json_value_end(bytes: &[u8], value: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = value;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b',' | b'}' | b']' if depth == 0 => return at.max(value),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str, syntax: Syntax) -> String {
        let redaction = Redaction::new(&DEFAULT_NAMES).expect("valid names");
        String::from_utf8(redaction.redact(text.as_bytes(), syntax)).expect("UTF-8")
    }

    #[test]
    fn pairs_lose_the_values_of_redacted_names() {
        for (original, expected) in [
            ("p1=7&phone=98765&x=1", "p1=7&phone=[redacted]&x=1"),
            ("Email=a%40b.c&EMAIL=d", "Email=[redacted]&EMAIL=[redacted]"),
            ("ph%6Fne=98765", "ph%6Fne=[redacted]"),
            (
                "customer_city=x&customer_=y&customers=z",
                "customer_city=[redacted]&customer_=[redacted]&customers=z",
            ),
            (
                "campaign_name=Diwali&ips=1&phone=",
                "campaign_name=Diwali&ips=1&phone=",
            ),
            ("phone=1=2&phone", "phone=[redacted]&phone"),
            ("", ""),
        ] {
            assert_eq!(redacted(original, Syntax::Pairs), expected);
        }
    }

    #[test]
    fn json_loses_the_values_of_redacted_names_at_any_depth() {
        for (original, expected) in [
            (
                r#"{"p1": "7", "phone": "98\"76,5", "x": 1}"#,
                r#"{"p1": "7", "phone": "[redacted]", "x": 1}"#,
            ),
            (
                r#"{"phone":98765,"x":[1]}"#,
                r#"{"phone":"[redacted]","x":[1]}"#,
            ),
            (
                r#"{"ph\u006fne" : "98765"}"#,
                r#"{"ph\u006fne" : "[redacted]"}"#,
            ),
            (
                r#"{"phone": {"a": ["}", 1]}, "x": 1}"#,
                r#"{"phone": "[redacted]", "x": 1}"#,
            ),
            (
                r#"{"a": [{"email": "b"}]}"#,
                r#"{"a": [{"email": "[redacted]"}]}"#,
            ),
            (
                r#"{"note": "phone", "x": "email"}"#,
                r#"{"note": "phone", "x": "email"}"#,
            ),
            (r#"{"phone": null}"#, r#"{"phone": "[redacted]"}"#),
        ] {
            assert_eq!(redacted(original, Syntax::Json), expected);
        }
    }

    #[test]
    fn json_that_is_cut_off_is_redacted_as_far_as_it_goes() {
        let whole = r#"{"p1": "7", "phone": "98765"}"#;
        for end in 0..whole.len() {
            let head = redacted(&whole[..end], Syntax::Json);
            assert!(!head.contains("98"), "{head}");
        }
    }

    #[test]
    fn in_an_unknown_syntax_what_follows_a_name_goes() {
        for (original, expected) in [
            ("<phone>98765</phone>", "<phone>[redacted]</phone>"),
            ("phone: 98765\np1: 7", "phone: [redacted]\np1: 7"),
            (
                "form-data; name=\"phone\"\r\n\r\n98765\r\n--",
                "form-data; name=\"phone\"\r\n\r\n[redacted]\r\n--",
            ),
            (
                r#"{"phone": "98765", "p1": "7"}"#,
                r#"{"phone": "[redacted]", "p1": "7"}"#,
            ),
            ("p1=7&phone=98765", "p1=7&phone=[redacted]"),
            (
                "<phone><![CDATA[98765]]></phone>",
                "<phone><![[redacted]</phone>",
            ),
            (r#"{"phone": ["98765"]}"#, r#"{"phone": ["[redacted]"]}"#),
            ("p1=7&phone=[redacted]&x", "p1=7&phone=[redacted]&x"),
            ("a phone", "a phone"),
        ] {
            assert_eq!(redacted(original, Syntax::Unknown), expected);
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "*", "a*b", "a b", "é"] {
            assert_eq!(
                Redaction::new(&[name]).unwrap_err(),
                RedactionError(name.to_owned())
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let redaction = Redaction::new(&DEFAULT_NAMES).expect("valid names");
            for syntax in [Syntax::Pairs, Syntax::Json, Syntax::Unknown] {
                redaction.redact(&bytes, syntax);
            }
        }

        #[test]
        fn a_redacted_value_is_gone_whatever_stands_around_it(
            before in "[a-z]{1,8}", text in "[ -~]{0,30}", secret in "SECRET[0-9]{4}",
        ) {
            let json = serde_json::json!({ before.as_str(): text, "email": secret, "z": text });
            let json = json.to_string();
            prop_assert!(!redacted(&json, Syntax::Json).contains(&secret));
            prop_assert!(!redacted(&json, Syntax::Unknown).contains(&secret));
            let pairs = format!("{before}=1&email={secret}&z=2");
            prop_assert!(!redacted(&pairs, Syntax::Pairs).contains(&secret));
        }
    }
}
