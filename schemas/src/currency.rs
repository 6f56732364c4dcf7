//! Currencies and their minor units.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::parsed;

/// An ISO 4217 currency that is in use, with the exponent of its minor unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The code is not one of ISO 4217's currencies in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known currency code")]
pub struct UnknownCurrency;

/// ISO 4217 list one, by exponent; codes of metals, funds and tests are left out, since nobody
/// is paid in them.
const BY_EXPONENT: [(u32, &str); 3] = [
    (
        0,
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    ),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
         CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
         GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL \
         MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN \
         PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP \
         SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
];

/// In which list each code is, by its [`place`]: two bits, nothing or one more than the list's
/// index. Several codes are looked up for every record, and the lists are long.
static LISTS: [u64; PAIRS] = lists();
const PAIRS: usize = 26 * 26;

/// A code's first two letters as a number, and how far its bits are up there.
const fn place([first, second, third]: [u8; 3]) -> Option<(usize, u8)> {
    if first.is_ascii_uppercase() && second.is_ascii_uppercase() && third.is_ascii_uppercase() {
        let (first, second, third) = (first - b'A', second - b'A', third - b'A');
        Some((first as usize * 26 + second as usize, third * 2))
    } else {
        None
    }
}

const fn lists() -> [u64; PAIRS] {
    let mut lists = [0; PAIRS];
    let mut list = 0;
    while list < BY_EXPONENT.len() {
        let codes = BY_EXPONENT[list].1.as_bytes();
        let mut at = 0;
        while at < codes.len() {
            if let Some((pair, shift)) = place([codes[at], codes[at + 1], codes[at + 2]]) {
                lists[pair] |= (list as u64 + 1) << shift;
            }
            at += 4;
        }
        list += 1;
    }
    lists
}

impl Currency {
    /// The Indian rupee, which the platform's home market pays in.
    pub const INR: Self = Self(*b"INR");
    /// The US dollar, which Trackier means where it names no currency.
    pub const USD: Self = Self(*b"USD");

    /// Decimal places of the minor unit: 0, 2 or 3.
    pub fn exponent(self) -> u32 {
        Self::lookup(self.0).unwrap_or(2)
    }

    /// Minor units that make one unit: 1, 100 or 1,000.
    pub fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.exponent())
    }

    fn lookup(code: [u8; 3]) -> Option<u32> {
        let (pair, shift) = place(code)?;
        let list = usize::try_from(LISTS[pair] >> shift & 3).ok()?;
        Some(BY_EXPONENT[list.checked_sub(1)?].0)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    /// Either case.
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let mut code = <[u8; 3]>::try_from(text.as_bytes()).map_err(|_| UnknownCurrency)?;
        code.make_ascii_uppercase();
        Self::lookup(code)
            .map(|_| Self(code))
            .ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_exponents_and_refuses_what_nobody_is_paid_in() {
        for (code, exponent) in [("INR", 2), ("inr", 2), ("JPY", 0), ("KWD", 3), ("ZWG", 2)] {
            assert_eq!(
                code.parse::<Currency>().map(Currency::exponent),
                Ok(exponent),
                "{code}"
            );
        }
        for code in ["XXX", "XAU", "ZZZ", "RU", "INRR", " IN", "R I"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn what_is_known_is_what_is_listed() {
        let letters = b'@'..=b'[';
        for first in letters.clone() {
            for second in letters.clone() {
                for third in letters.clone() {
                    let code = [first, second, third];
                    let lists = BY_EXPONENT.iter();
                    let mut listed = lists
                        .filter(|(_, codes)| codes.split(' ').any(|one| one.as_bytes() == code));
                    let exponent = listed.next().map(|(exponent, _)| *exponent);
                    assert_eq!(Currency::lookup(code), exponent, "{code:?}");
                }
            }
        }
    }

    #[test]
    fn every_listed_code_is_three_letters() {
        for (_, codes) in BY_EXPONENT {
            assert!(codes.split(' ').all(|code| code.len() == 3), "{codes}");
        }
    }
}
