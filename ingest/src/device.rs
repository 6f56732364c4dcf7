//! Kind of device and of visitor, from the user agent: small tables of telling words.

use schemas::events::Device;

/// Words of those who fetch a page to show a preview of it, where somebody shares a link. The list
/// is in `docs/api.md` too.
const PREVIEWERS: [&str; 18] = [
    "facebookexternalhit",
    "facebot",
    "whatsapp/",
    "telegrambot",
    "twitterbot",
    "linkedinbot",
    "slackbot",
    "slack-imgproxy",
    "discordbot",
    "skypeuripreview",
    "pinterest/",
    "redditbot",
    "snap url preview",
    "viber",
    "iframely",
    "embedly",
    "mastodon/",
    "preview",
];

/// Words of bots and command-line clients. They come before devices: many a bot calls itself a
/// browser too.
const BOTS: [&str; 17] = [
    "bot",
    "crawler",
    "spider",
    "slurp",
    "headlesschrome",
    "phantomjs",
    "lighthouse",
    "curl/",
    "wget/",
    "python-requests",
    "python-urllib",
    "aiohttp",
    "go-http-client",
    "java/",
    "libwww-perl",
    "scrapy",
    "apache-httpclient",
];

/// A maker of phones whose name ends like a bot's.
const CUBOT: &str = "cubot";

const TABLETS: [&str; 4] = ["ipad", "tablet", "kindle", "silk/"];
const MOBILES: [&str; 5] = ["mobi", "iphone", "ipod", "windows phone", "opera mini"];
const DESKTOPS: [&str; 4] = ["windows nt", "macintosh", "x11", "cros "];

/// Who follows a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// A person, as far as can be told.
    Person,
    /// A messenger or network that shows what is behind a link.
    Previewer,
    /// Any other machine.
    Bot,
}

impl Visitor {
    /// Who sends this `User-Agent`.
    pub(crate) fn of(user_agent: &str) -> Self {
        let agent = lowered(user_agent);
        if names(&agent, &PREVIEWERS) {
            Self::Previewer
        } else if names(&agent, &BOTS) {
            Self::Bot
        } else {
            Self::Person
        }
    }

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Previewer => "previewer",
            Self::Bot => "bot",
        }
    }
}

fn lowered(user_agent: &str) -> String {
    user_agent.to_ascii_lowercase().replace(CUBOT, "")
}

fn names(agent: &str, words: &[&str]) -> bool {
    words.iter().any(|word| agent.contains(word))
}

/// The kind of device that sends this `User-Agent`; a previewer is a bot.
pub(crate) fn device(user_agent: &str) -> Device {
    let agent = lowered(user_agent);
    let names = |words: &[&str]| names(&agent, words);
    match Visitor::of(user_agent) {
        Visitor::Previewer | Visitor::Bot => return Device::Bot,
        Visitor::Person => {}
    }
    if names(&TABLETS) {
        Device::Tablet
    } else if names(&MOBILES) {
        Device::Mobile
    } else if agent.contains("android") {
        // Android's browsers say `Mobile` on phones and leave it out on tablets.
        Device::Tablet
    } else if names(&DESKTOPS) {
        Device::Desktop
    } else {
        Device::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_user_agents_are_told_apart() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Device::Bot,
            ),
            ("facebookexternalhit/1.1", Device::Bot),
            ("WhatsApp/2.23.20.0", Device::Bot),
            ("curl/8.5.0", Device::Bot),
            ("", Device::Unknown),
            ("okhttp/4.12.0", Device::Unknown),
        ] {
            assert_eq!(device(agent), expected, "{agent}");
        }
    }

    #[test]
    fn previewers_bots_and_people_are_told_apart() {
        for (agent, expected) in [
            (
                "facebookexternalhit/1.1 (+http://www.facebook.com)",
                Visitor::Previewer,
            ),
            ("WhatsApp/2.23.20.0 A", Visitor::Previewer),
            ("TelegramBot (like TwitterBot)", Visitor::Previewer),
            ("Slackbot-LinkExpanding 1.0", Visitor::Previewer),
            ("Mozilla/5.0 (compatible; Googlebot/2.1)", Visitor::Bot),
            ("curl/8.5.0", Visitor::Bot),
            (
                "Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) Mobile",
                Visitor::Person,
            ),
            ("", Visitor::Person),
        ] {
            assert_eq!(Visitor::of(agent), expected, "{agent}");
        }
    }

    #[test]
    fn every_word_of_the_lists_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let documented = std::fs::read_to_string(path).expect("the page");
        for word in PREVIEWERS.iter().chain(&BOTS) {
            assert!(documented.contains(&format!("`{word}`")), "{word}");
        }
    }
}
