//! What an answer that is no success means, whatever was asked for.

use serde::Deserialize;

use super::classify::TransportFailure;

/// The longest error code or type that is kept.
const NAME_LENGTH_MAX: usize = 60;

/// Why there is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request is refused for what it is; repeating it changes nothing, and nothing was done.
    Refused(Detail),
    /// Too many calls; nothing was done.
    Throttled(Detail),
    /// The account or its credentials are at fault, so every request is; nothing was done.
    ChannelFault(Detail),
    /// Nothing was sent.
    Unreachable(Detail),
    /// It may or may not have been done.
    Unknown(Detail),
}

impl Failure {
    /// What to tell the operator.
    pub const fn detail(&self) -> &Detail {
        match self {
            Self::Refused(detail)
            | Self::Throttled(detail)
            | Self::ChannelFault(detail)
            | Self::Unreachable(detail)
            | Self::Unknown(detail) => detail,
        }
    }
}

/// Error code and type for the operator, and where an account is at fault what to do: short,
/// printable, and never free text from the answer, which might repeat a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail(String);

impl Detail {
    /// Our own words.
    pub fn new(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Amazon's code and type, where they are names; anything else is not repeated.
    fn of(body: &ErrorBody) -> Self {
        let named = |text: &&str| {
            (1..=NAME_LENGTH_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let text: Vec<&str> = [body.code(), body.kind()]
            .into_iter()
            .filter(named)
            .collect();
        if text.is_empty() {
            Self::new("no error code")
        } else {
            Self(text.join(" "))
        }
    }

    fn with(self, trouble: Trouble) -> Self {
        Self(format!("{}: {}", self.0, trouble.sentence()))
    }
}

/// What is wrong with an account, as far as the answer says: each with a way on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Clock,
    AccessKey,
    Signature,
    Funds,
    Contract,
    Limit,
    Account,
}

impl Trouble {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Clock => {
                "the signature counts as too old or too new, so a clock is wrong: set this \
                 machine's clock by a time server, then resume"
            }
            Self::AccessKey => {
                "the access key is expired, deleted or unknown: put a valid one into [agcod], \
                 restart, then resume"
            }
            Self::Signature => {
                "the signature or the key's rights are refused: compare secret key, region and \
                 address in [agcod] with the contract, then resume"
            }
            Self::Funds => "the prepaid funds are used up: top them up, then resume",
            Self::Contract => "no contract is in force: see to it with Amazon, then resume",
            Self::Limit => {
                "the account's limit for the day is reached: resume tomorrow, or have it raised"
            }
            Self::Account => {
                "the account is closed, blocked or wrongly set up: see to it with Amazon, then \
                 resume"
            }
        }
    }

    fn of_account(kind: &str) -> Self {
        if kind.contains("InsufficientFunds") {
            Self::Funds
        } else if kind.contains("Contract") {
            Self::Contract
        } else if kind.contains("Velocity") || kind.contains("Limit") {
            Self::Limit
        } else {
            Self::Account
        }
    }

    /// What is wrong with a request's credentials, if that is what is said; AWS front ends have
    /// names for it, and Amazon's own answers only words.
    fn of_credentials(body: &ErrorBody) -> Option<Self> {
        let kind = body.kind();
        let words = body.message.as_deref().unwrap_or_default();
        let words = words.to_ascii_lowercase();
        let named = |names: &[&str]| names.iter().any(|name| kind.contains(name));
        let about_signature = words.contains("signature");
        let out_of_time = words.contains("expired") || words.contains("not yet current");
        if named(&["RequestExpired", "RequestTimeTooSkewed"])
            || (out_of_time && (about_signature || named(&["InvalidSignature"])))
        {
            Some(Self::Clock)
        } else if named(&["UnrecognizedClient", "InvalidClientTokenId", "ExpiredToken"]) {
            Some(Self::AccessKey)
        } else if named(&[
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "AccessDenied",
        ]) || (body.code() == "F200" && about_signature)
        {
            Some(Self::Signature)
        } else {
            None
        }
    }
}

/// The part of a body that says why not.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorBody {
    agcod_response: Option<ErrorResult>,
    pub(super) status: Option<String>,
    pub(super) error_code: Option<String>,
    error_type: Option<String>,
    message: Option<String>,
    #[serde(rename = "__type")]
    type_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorResult {
    status: Option<String>,
}

impl ErrorBody {
    fn code(&self) -> &str {
        self.error_code.as_deref().unwrap_or_default()
    }

    /// The error's type, which front ends put into `__type`, behind a name space.
    fn kind(&self) -> &str {
        let kind = self.error_type.as_deref().or(self.type_name.as_deref());
        let kind = kind.unwrap_or_default();
        kind.rsplit('#').next().unwrap_or(kind)
    }

    fn status(&self) -> Option<&str> {
        let nested = self.agcod_response.as_ref();
        let nested = nested.and_then(|response| response.status.as_deref());
        self.status.as_deref().or(nested)
    }
}

/// By the body alone: which HTTP status comes with which error is not documented.
pub(super) fn judge(body: &ErrorBody) -> Failure {
    let detail = || Detail::of(body);
    let (code, kind) = (body.code(), body.kind());
    let message = body.message.as_deref().unwrap_or_default();
    if kind.contains("Throttl") || code.contains("Throttl") || message.contains("Rate exceeded") {
        return Failure::Throttled(detail());
    }
    // Said once per account, not per payout.
    if let Some(trouble) = Trouble::of_credentials(body) {
        return Failure::ChannelFault(detail().with(trouble));
    }
    if body.status() == Some("RESEND") {
        return Failure::Unknown(detail());
    }
    match code {
        "F200" => Failure::Refused(detail()),
        "F300" => Failure::ChannelFault(detail().with(Trouble::of_account(kind))),
        // F100 internal, F400 temporary, F500 unknown, and whatever isn't documented.
        _ => Failure::Unknown(detail()),
    }
}

/// Where there is no whole body.
pub(super) fn judge_transport(failure: TransportFailure) -> Failure {
    match failure {
        TransportFailure::NotConnected => Failure::Unreachable(Detail::new("no connection")),
        TransportFailure::TimedOut => Failure::Unknown(Detail::new("timed out")),
        TransportFailure::ConnectionLost => Failure::Unknown(Detail::new("connection lost")),
        TransportFailure::Oversized => Failure::Unknown(Detail::new("answer too large")),
    }
}
