//! Where the registry is, and how to get in.

use std::{fs::File, io::BufReader, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, RequestBuilder, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::{RegistryError, chain};

/// For a whole call: connecting, sending and reading.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a registry is, and how to get in.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// Its address, `http` or `https`, with the path of its Confluent API where that isn't the
    /// root. A name and a password may stand in it, and are then taken for `username` and
    /// `password`.
    pub url: String,
    /// The name for basic authentication; for Confluent Cloud the key.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// A bearer token, instead of name and password.
    pub token: Option<SecretString>,
    /// A PEM file of the certificate authorities to trust, instead of Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// What the topics' names begin with in the log; the subjects' do too.
    pub topic_prefix: String,
}

impl RegistrySettings {
    /// A registry that lets anybody in.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

/// How to get in.
#[derive(Debug, Clone)]
enum Credentials {
    None,
    Basic {
        username: String,
        password: SecretString,
    },
    Token(SecretString),
}

/// Settings that can be.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Without credentials, and without a slash at its end.
    pub(super) url: String,
    pub(super) topic_prefix: String,
    credentials: Credentials,
    tls: ClientConfig,
}

impl Access {
    pub(super) fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        let mut url = Url::parse(&settings.url).map_err(|error| wrong("URL", &error))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong(
                "URL",
                &"it begins with http:// or https://, and a host",
            ));
        }
        let credentials = credentials(&mut url, &settings)?;
        url.set_query(None);
        url.set_fragment(None);
        let prefix = settings.topic_prefix;
        // What Kafka takes in a topic's name.
        if !prefix
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
        {
            return Err(wrong(
                "topic prefix",
                &"letters, digits, '.', '_' and '-' only",
            ));
        }
        Ok(Self {
            url: url.as_str().trim_end_matches('/').to_owned(),
            topic_prefix: prefix,
            credentials,
            tls: tls(settings.ca_file)?,
        })
    }

    /// For the calls that the client library has.
    pub(super) fn library(&self) -> Result<SrSettings, RegistryError> {
        let mut settings = SrSettings::new_builder(self.url.clone());
        match &self.credentials {
            Credentials::None => {}
            Credentials::Basic { username, password } => {
                settings.set_basic_authorization(username, Some(password.expose_secret()));
            }
            Credentials::Token(token) => {
                settings.set_token_authorization(token.expose_secret());
            }
        }
        settings
            .set_timeout(TIMEOUT)
            .build_with(self.builder())
            .map_err(|error| wrong("TLS", &error))
    }

    /// For those that it doesn't have.
    pub(super) fn client(&self) -> Result<Client, RegistryError> {
        self.builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| wrong("TLS", &chain(&error)))
    }

    pub(super) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Basic { username, password } => {
                request.basic_auth(username, Some(password.expose_secret()))
            }
            Credentials::Token(token) => request.bearer_auth(token.expose_secret()),
        }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            // A redirect would take the credentials somewhere else.
            .redirect(Policy::none())
    }
}

/// Takes name and password out of the URL, so that it can be shown.
fn credentials(url: &mut Url, settings: &RegistrySettings) -> Result<Credentials, RegistryError> {
    let in_url = (!url.username().is_empty()).then(|| decoded(url.username()));
    let password_in_url = url.password().map(decoded);
    let without = [url.set_username(""), url.set_password(None)];
    if without.contains(&Err(())) {
        return Err(wrong("URL", &"it has no place for a name"));
    }
    let username = in_url.or_else(|| settings.username.clone());
    let password = password_in_url.map(SecretString::from);
    let password = password.or_else(|| settings.password.clone());
    match (username, password, settings.token.clone()) {
        (None, None, None) => Ok(Credentials::None),
        (Some(username), password, None) => Ok(Credentials::Basic {
            username,
            password: password.unwrap_or_default(),
        }),
        (None, None, Some(token)) => Ok(Credentials::Token(token)),
        (None, Some(_), None) => Err(wrong("password", &"it has no username")),
        (_, _, Some(_)) => Err(wrong(
            "token",
            &"give it, or username and password, not both",
        )),
    }
}

/// Name and password are percent-encoded in a URL.
fn decoded(text: &str) -> String {
    let form = text.replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

/// The ring provider with roots given explicitly, so that no default of the process decides.
fn tls(ca_file: Option<PathBuf>) -> Result<ClientConfig, RegistryError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| {
                wrong("CA file", &format!("{}: {error}", path.display()))
            };
            let file = File::open(&path).map_err(|error| unusable(&error))?;
            for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"it holds no certificate"));
            }
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("TLS", &error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls)
}

fn wrong(setting: &'static str, reason: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Setting {
        setting,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str) -> Result<Access, RegistryError> {
        Access::new(RegistrySettings::at(url))
    }

    #[test]
    fn a_name_and_a_password_in_the_url_are_taken_out_of_it() {
        let access = access("https://key:s%2Bc+r%40t@registry.example/apis/v7/?a=b").expect("fine");
        assert_eq!(access.url, "https://registry.example/apis/v7");
        let Credentials::Basic { username, password } = &access.credentials else {
            panic!("{:?}", access.credentials);
        };
        assert_eq!(username, "key");
        assert_eq!(password.expose_secret(), "s+c+r@t");
        assert!(!format!("{access:?}").contains("r@t"));
    }

    #[test]
    fn settings_that_cannot_be_are_refused_by_name() {
        for (url, setting) in [("registry:8081", "URL"), ("", "URL"), ("ftp://host", "URL")] {
            let error = access(url).expect_err("refused");
            assert!(
                matches!(error, RegistryError::Setting { setting: named, .. } if named == setting),
                "{url}: {error}"
            );
            assert!(!error.temporary());
        }
        let settings = RegistrySettings {
            topic_prefix: "a/b".to_owned(),
            ..RegistrySettings::at("http://host")
        };
        let error = Access::new(settings).expect_err("refused").to_string();
        assert!(error.contains("topic prefix"), "{error}");
        let settings = RegistrySettings {
            username: Some("name".to_owned()),
            token: Some("token".to_owned().into()),
            ..RegistrySettings::at("http://host")
        };
        let error = Access::new(settings).expect_err("refused").to_string();
        assert!(error.contains("not both"), "{error}");
        let settings = RegistrySettings {
            ca_file: Some("no/such/file.pem".into()),
            ..RegistrySettings::at("https://host")
        };
        let error = Access::new(settings).expect_err("refused").to_string();
        assert!(error.contains("CA file: no/such/file.pem"), "{error}");
    }
}
