//! AWS signature version 4, as AGCOD asks for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign},
    sign::v4,
};
use schemas::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// The service's name in the signature's scope.
pub const SERVICE: &str = "AGCODService";

/// The access key that signs.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// Which key; not a secret.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret_access_key: SecretString,
}

/// A request could not be signed: a defect of ours or of the configuration, found before any byte
/// has gone out.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The signer refuses the request.
    #[error("the request can't be signed")]
    Signing(#[from] SigningError),
    /// A parameter is missing.
    #[error("the signature lacks a parameter")]
    Parameters(#[from] v4::signing_params::BuildError),
}

/// What is signed. The headers are those that are sent unchanged; `x-amz-date` is not among them,
/// the signer makes it.
pub(super) struct Unsigned<'a> {
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers to add: `x-amz-date` and `authorization`.
pub(super) fn signature_headers(
    unsigned: &Unsigned<'_>,
    key_pair: &KeyPair,
    region: &str,
    at: Timestamp,
) -> Result<Vec<(String, String)>, SignatureError> {
    let identity = Credentials::new(
        key_pair.access_key_id.as_str(),
        key_pair.secret_access_key.expose_secret(),
        None,
        None,
        "configuration",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(system_time(at))
        .settings(SigningSettings::default())
        .build()?
        .into();
    let request = SignableRequest::new(
        "POST",
        unsigned.url,
        unsigned.headers.iter().copied(),
        SignableBody::Bytes(unsigned.body),
    )?;
    let (instructions, _signature) = sign(request, &parameters)?.into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn system_time(at: Timestamp) -> SystemTime {
    let magnitude = Duration::from_millis(at.millis().unsigned_abs());
    if at.millis() < 0 {
        UNIX_EPOCH - magnitude
    } else {
        UNIX_EPOCH + magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the protocol's documentation.
    #[test]
    fn agrees_with_the_published_vector() {
        let body = b"{\"creationRequestId\":\"Test001\",\"partnerId\":\"Test\",\
          \"value\":{\"amount\":123,\"currencyCode\":\"USD\"}}";
        let headers = signature_headers(
            &Unsigned {
                url: "https://agcod-v2-gamma.amazon.com/CreateGiftCard",
                headers: &[
                    ("accept", "application/json"),
                    ("content-type", "application/json"),
                    ("content-length", "94"),
                    (
                        "x-amz-target",
                        "com.amazonaws.agcod.AGCODService.CreateGiftCard",
                    ),
                ],
                body,
            },
            &KeyPair {
                access_key_id: "fake-aws-key".into(),
                secret_access_key: "fake-secret-key".into(),
            },
            "us-east-1",
            Timestamp::parse("2017-09-18T13:31:38Z").expect("a time"),
        )
        .expect("signed");
        let header = |wanted: &str| {
            headers
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(body.len(), 94);
        assert_eq!(header("x-amz-date"), Some("20170918T133138Z"));
        let authorization = header("authorization").expect("an authorization");
        assert!(
            authorization.ends_with(
                "Signature=e9d5479b216d39a2dd949f5971383c871ab420a6c6b3380f98e9851a8349e260"
            ),
            "{authorization}"
        );
        assert!(
            authorization
                .contains("Credential=fake-aws-key/20170918/us-east-1/AGCODService/aws4_request")
        );
    }
}
