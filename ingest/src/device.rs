//! Kind of device, from the user agent: a small table of telling words.

use schemas::events::Device;

/// Words of bots, previewers and command-line clients. They come first: many a bot calls itself
/// a browser too.
const BOTS: [&str; 20] = [
    "bot",
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "whatsapp/",
    "preview",
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

/// The kind of device that sends this `User-Agent`.
pub fn device(user_agent: &str) -> Device {
    let agent = user_agent.to_ascii_lowercase().replace(CUBOT, "");
    let names = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    if names(&BOTS) {
        Device::Bot
    } else if names(&TABLETS) {
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
}
