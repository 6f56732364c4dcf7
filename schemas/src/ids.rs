//! Typed ids: a tenant id is not a campaign id.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct IdError(&'static str);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// From a UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError($what))
            }
        }

        // A string on every wire: Avro's `uuid` on a string is what every client can read.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::parsed(deserializer)
            }
        }
    };
}

uuid_id!(
    /// A creator's or brand's account on the platform: the unit of isolation.
    TenantId,
    "tenant id"
);
uuid_id!(
    /// A campaign of one tenant: it sets the share that the shopper gets.
    CampaignId,
    "campaign id"
);
uuid_id!(
    /// A smart link: one campaign's way to one offer.
    LinkId,
    "link id"
);
uuid_id!(
    /// A person: a shopper, or a member of a tenant. The log knows people by this id only.
    UserId,
    "user id"
);
uuid_id!(
    /// One payout: one gift card, one request id for ever.
    PayoutId,
    "payout id"
);

macro_rules! long_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 64 bits; a string in JSON, because JavaScript's numbers hold 53; a `long` in Avro.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// From its number.
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// A positive decimal number without a sign.
            fn from_str(text: &str) -> Result<Self, IdError> {
                if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(IdError($what));
                }
                match text.parse() {
                    Ok(number) if number > 0 => Ok(Self(number)),
                    Ok(_) | Err(_) => Err(IdError($what)),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_i64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    crate::text::parsed(deserializer)
                } else {
                    i64::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

long_id!(
    /// One click on a smart link. Drawn from the same sequence as [`EventId`].
    ClickId,
    "click id"
);
long_id!(
    /// Names and orders an event: 41 bits of milliseconds, 10 of instance, 12 of counter (design
    /// section 3). A conversion's `conv_id` is the event id of its report. Identity of a *record*
    /// is its position, not this.
    EventId,
    "event id"
);

macro_rules! int_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i32);

        impl $name {
            /// From its number.
            pub const fn new(number: i32) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn get(self) -> i32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.parse() {
                    Ok(number) if number > 0 => Ok(Self(number)),
                    Ok(_) | Err(_) => Err(IdError($what)),
                }
            }
        }
    };
}

int_id!(
    /// An offer of a merchant, as the network numbers it (specification section 2: `INT`).
    OfferId,
    "offer id"
);
int_id!(
    /// A configured instance of an affiliate network. Order numbers are unique within one at best.
    NetworkId,
    "network id"
);

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The two letters.
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }

    /// From two letters of either case.
    ///
    /// # Errors
    /// When they aren't ASCII letters.
    pub fn from_letters(letters: [u8; 2]) -> Result<Self, IdError> {
        if letters.iter().all(u8::is_ascii_alphabetic) {
            Ok(Self(letters.map(|letter| letter.to_ascii_uppercase())))
        } else {
            Err(IdError("country code"))
        }
    }
}

impl Country {
    /// A country that says something: two letters, and neither of the codes for "unknown" that the
    /// field uses. Anything else is as good as absent.
    pub fn known(text: &str) -> Option<Self> {
        let country: Self = text.parse().ok()?;
        let unknown = [*b"XX", *b"ZZ"];
        (!unknown.contains(&country.letters())).then_some(country)
    }
}

impl FromStr for Country {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let letters = <[u8; 2]>::try_from(text.as_bytes()).map_err(|_| IdError("country code"))?;
        Self::from_letters(letters)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_overflow_or_carry_a_sign_are_refused() {
        assert!("9223372036854775807".parse::<ClickId>().is_ok());
        for text in ["9223372036854775808", "-1", "+1", "0", "", "12a"] {
            assert!(text.parse::<ClickId>().is_err(), "{text}");
        }
        assert!("2147483648".parse::<OfferId>().is_err());
    }

    #[test]
    fn long_ids_are_strings_in_json() {
        let id = EventId::new(9_007_199_254_740_993);
        assert_eq!(
            serde_json::to_string(&id).expect("json"),
            "\"9007199254740993\""
        );
    }
}
