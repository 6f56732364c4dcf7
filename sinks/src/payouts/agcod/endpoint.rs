//! Where a request goes.

use std::fmt;

/// An address that requests with secrets in them may be sent to: HTTPS, or plain HTTP on this
/// machine only (the fake of the demo and of tests).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(reqwest::Url);

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It doesn't parse, or names no host.
    #[error("{0:?} is not an address such as https://host/path")]
    Unreadable(String),
    /// Plain HTTP to another machine.
    #[error("{0:?} is not on this machine, so it has to be https")]
    PlainText(String),
    /// It carries a user name, a query or a fragment, which belong elsewhere.
    #[error("an address must not carry a user name, a query or a fragment")]
    Decorated,
}

impl Endpoint {
    /// Reads `base` and puts `path` (which begins with a slash) behind it.
    pub fn parse(base: &str, path: &str) -> Result<Self, EndpointError> {
        let unreadable = || EndpointError::Unreadable(base.to_owned());
        let whole = format!("{}{path}", base.trim_end_matches('/'));
        let url = reqwest::Url::parse(&whole).map_err(|_| unreadable())?;
        let host = url.host_str().ok_or_else(unreadable)?;
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(EndpointError::Decorated);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback(host) => Ok(Self(url)),
            "http" => Err(EndpointError::PlainText(base.to_owned())),
            _ => Err(unreadable()),
        }
    }

    /// The address.
    pub fn url(&self) -> &reqwest::Url {
        &self.0
    }

    /// The address of another operation: it takes the place of the last part of the path.
    #[must_use]
    pub fn beside(&self, operation: &str) -> Self {
        let mut url = self.0.clone();
        let kept = url.path().rfind('/').unwrap_or(0);
        let path = format!("{}/{operation}", &url.path()[..kept]);
        url.set_path(&path);
        Self(url)
    }

    /// The `Host` header that an HTTP client sends for it: the port only where it isn't the
    /// scheme's own.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_only_to_this_machine() {
        for (base, ours) in [
            ("https://agcod.example", true),
            ("https://agcod.example:8443/", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost:1", true),
            ("http://agcod.example", false),
            ("http://127.0.0.1.example", false),
            ("ftp://127.0.0.1", false),
            ("https://user:secret@agcod.example", false),
            ("not an address", false),
        ] {
            assert_eq!(
                Endpoint::parse(base, "/CreateGiftCard").is_ok(),
                ours,
                "{base}"
            );
        }
    }

    #[test]
    fn other_operations_are_beside_creating() {
        for (path, beside) in [
            ("/CreateGiftCard", "/GetAvailableFunds"),
            (
                "/gc/v1/giftCard/create",
                "/gc/v1/giftCard/GetAvailableFunds",
            ),
        ] {
            let endpoint = Endpoint::parse("https://agcod.example", path).expect("an address");
            let other = endpoint.beside("GetAvailableFunds");
            assert_eq!(other.url().path(), beside);
            assert_eq!(other.host(), endpoint.host());
        }
    }

    #[test]
    fn host_names_the_port_only_where_it_is_unusual() {
        let host = |base| Endpoint::parse(base, "/CreateGiftCard").map(|endpoint| endpoint.host());
        assert_eq!(
            host("https://agcod.example:443"),
            Ok("agcod.example".into())
        );
        assert_eq!(host("http://127.0.0.1:81/"), Ok("127.0.0.1:81".into()));
        let endpoint = Endpoint::parse("https://agcod.example/", "/CreateGiftCard");
        assert_eq!(
            endpoint.map(|endpoint| endpoint.to_string()),
            Ok("https://agcod.example/CreateGiftCard".into())
        );
    }
}
