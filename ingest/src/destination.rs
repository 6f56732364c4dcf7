//! Where a smart link leads: the network's tracking link with the click token in it.

use url::Url;

/// The placeholder in a tracking link, and how it looks once percent-encoded.
const PLACEHOLDERS: [&str; 2] = ["{click_token}", "%7Bclick_token%7D"];

/// The tracking link with the token in place of `{click_token}`, else as the parameter `p1`.
/// Everything else in it is kept as it is. The shopper's own query is not passed on: it could
/// name another publisher than ours.
///
/// `None` when the tracking link is no absolute `http` or `https` URL.
pub(crate) fn destination(tracking_url: &str, token: &str) -> Option<String> {
    let placeholder = PLACEHOLDERS
        .iter()
        .find(|text| tracking_url.contains(**text));
    let filled = match placeholder {
        Some(placeholder) => tracking_url.replace(placeholder, token),
        None => with_p1(tracking_url, token),
    };
    let url = Url::parse(&filled).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    web.then(|| url.into())
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
            assert_eq!(destination(tracking_url, "T-_").as_deref(), Some(expected));
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
            assert_eq!(destination(tracking_url, "T"), None, "{tracking_url}");
        }
    }
}
