//! Where a smart link leads: the network's tracking link with the click token in it.

use url::Url;

use crate::parameters::decode;

/// The placeholder in a tracking link, and how it looks once percent-encoded.
const PLACEHOLDERS: [&str; 2] = ["{click_token}", "%7Bclick_token%7D"];

/// Names that the network gives a meaning to, or that we read ourselves: a shopper's query that
/// set them could name another publisher or click than ours.
const RESERVED: [&str; 14] = [
    "u",
    "click_id",
    "campaign_id",
    "offer_id",
    "pub_id",
    "source",
    "gaid",
    "idfa",
    "goal_id",
    "txn_id",
    "payout",
    "sale_amount",
    "status",
    "security_token",
];
/// Names of which there are several, with numbers at their end.
const RESERVED_SERIES: [&str; 2] = ["p", "sub"];

/// The tracking link with the token in place of `{click_token}`, else as the parameter `p1`.
/// Everything else in it is kept as it is.
///
/// The shopper's own query, such as `utm_source=…`, is passed on behind it, except for what the
/// tracking link sets itself and what means something to the network.
///
/// `None` when the tracking link is no absolute `http` or `https` URL.
pub(crate) fn destination(tracking_url: &str, token: &str, query: &str) -> Option<String> {
    let placeholder = PLACEHOLDERS
        .iter()
        .find(|text| tracking_url.contains(**text));
    let filled = match placeholder {
        Some(placeholder) => tracking_url.replace(placeholder, token),
        None => with_p1(tracking_url, token),
    };
    let mut url = Url::parse(&filled).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !web {
        return None;
    }
    if let Some(own) = kept(&url, query) {
        url.set_query(Some(&own));
    }
    Some(url.into())
}

/// The tracking link's query with what is kept of the shopper's; `None` where that is nothing.
fn kept(url: &Url, query: &str) -> Option<String> {
    let mut whole = url.query().unwrap_or_default().to_owned();
    let own: Vec<Vec<u8>> = whole.split('&').map(name).collect();
    let before = whole.len();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = name(pair);
        if own.contains(&name) || reserved(&name) {
            continue;
        }
        if !whole.is_empty() {
            whole.push('&');
        }
        whole.push_str(pair);
    }
    (whole.len() > before).then_some(whole)
}

/// A parameter's name, decoded and in lower case: however it is spelt, it is the same one.
fn name(pair: &str) -> Vec<u8> {
    let name = pair.split('=').next().unwrap_or_default();
    decode(name.as_bytes()).trim_ascii().to_ascii_lowercase()
}

fn reserved(name: &[u8]) -> bool {
    let numbered = RESERVED_SERIES.iter().any(|series| {
        let number = name.strip_prefix(series.as_bytes());
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    });
    numbered || RESERVED.iter().any(|reserved| reserved.as_bytes() == name)
}

/// With `p1` set to the token; another value of it in the link gives way.
fn with_p1(tracking_url: &str, token: &str) -> String {
    let (page, fragment) = match tracking_url.split_once('#') {
        Some((page, fragment)) => (page, Some(fragment)),
        None => (tracking_url, None),
    };
    let (page, query) = page.split_once('?').unwrap_or((page, ""));
    let mut filled = format!("{page}?");
    let others = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != "p1"
    });
    for pair in others {
        filled.push_str(pair);
        filled.push('&');
    }
    filled.push_str("p1=");
    filled.push_str(token);
    if let Some(fragment) = fragment {
        filled.push('#');
        filled.push_str(fragment);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_where_the_link_wants_it() {
        for (tracking_url, expected) in [
            (
                "https://t.example/click?campaign_id=5&pub_id=2",
                "https://t.example/click?campaign_id=5&pub_id=2&p1=T-_",
            ),
            (
                "https://t.example/click?p1={x}&a=%20b&p1=1#f",
                "https://t.example/click?a=%20b&p1=T-_#f",
            ),
            ("https://t.example/click", "https://t.example/click?p1=T-_"),
            ("https://t.example?", "https://t.example/?p1=T-_"),
            (
                "https://t.example/{click_token}?p1=1",
                "https://t.example/T-_?p1=1",
            ),
            (
                "https://t.example/?s=%7Bclick_token%7D&x={y}",
                "https://t.example/?s=T-_&x={y}",
            ),
            ("https://t.example/é", "https://t.example/%C3%A9?p1=T-_"),
        ] {
            assert_eq!(
                destination(tracking_url, "T-_", "").as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn what_is_no_web_page_leads_nowhere() {
        for tracking_url in [
            "",
            "/relative",
            "javascript:alert(1)",
            "ftp://x/",
            "https://",
            "data:,",
        ] {
            assert_eq!(destination(tracking_url, "T", ""), None, "{tracking_url}");
        }
    }

    #[test]
    fn a_query_is_kept_but_for_what_names_publisher_or_click() {
        const LINK: &str = "https://t.example/c?campaign_id=5&Brand=ours#f";
        let sent = |query: &str| {
            let location = destination(LINK, "T", query).expect("a web page");
            let own = location.strip_prefix("https://t.example/c?campaign_id=5&Brand=ours&p1=T");
            own.expect("the tracking link first").to_owned()
        };
        for (query, expected) in [
            (
                "utm_source=insta&utm_medium=story",
                "&utm_source=insta&utm_medium=story#f",
            ),
            ("a=1&a=2&b", "&a=1&a=2&b#f"),
            (
                "q=%26p1%3Devil&x=caf%C3%A9",
                "&q=%26p1%3Devil&x=caf%C3%A9#f",
            ),
            ("u=me&&p1=evil&%70%31=evil&P1=evil&p10=x&sub3=x", "#f"),
            ("pub_id=9&PUB%5FID=9&click_id=8&brand=theirs&source=x", "#f"),
            (
                "+p1=evil&page=2&price=3&submit=1",
                "&page=2&price=3&submit=1#f",
            ),
            ("x=\"<>#", "&x=%22%3C%3E%23#f"),
            ("", "#f"),
        ] {
            assert_eq!(sent(query), expected, "{query}");
        }
        let bare = destination("https://t.example/{click_token}", "T", "a=1");
        assert_eq!(bare.as_deref(), Some("https://t.example/T?a=1"));
    }
}
