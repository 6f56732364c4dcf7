//! Avro's binary form, straight between an event and its bytes.
//!
//! A schema is turned into a [`Plan`] once; encoding and decoding then walk the plan beside serde,
//! without a value tree, a map of fields or a name looked up in between: apache-avro's own serde
//! writer and reader, which the tests hold this against byte by byte, take several times as long,
//! and every stage pays for them twice per record (docs/adr/0033).
//!
//! Only what our contracts use is there. A schema with anything else is refused, which the tests
//! see, since every built-in schema is planned before the first record.

mod reading;
mod writing;

use std::collections::HashMap;

use apache_avro::{
    Schema,
    schema::{InnerDecimalSchema, Name, UuidSchema},
};
use serde::{Serialize, de::DeserializeOwned};

use self::{reading::Reading, writing::Writing};

/// How the values of a schema are laid out. Strings are borrowed from the schema.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Null,
    Boolean,
    Int,
    Long,
    /// Bytes, and decimals, whose bytes [`crate::Amount`] reads and writes itself.
    Bytes,
    /// Text, and what is written as text, such as UUIDs.
    Text,
    Enum(Vec<&'static str>),
    Array(Box<Plan>),
    Record(Vec<Field>),
    Union(Vec<Plan>),
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: &'static str,
    plan: Plan,
}

/// Why a datum can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DatumError {
    /// There are fewer bytes than it needs.
    #[error("it ends too early")]
    EndsTooEarly,
    /// An integer of more bytes, or a greater one, than its type has.
    #[error("an integer is out of range")]
    IntegerOutOfRange,
    /// Bytes where text is expected.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A choice that the schema doesn't have.
    #[error("a branch or symbol is not in the schema")]
    UnknownChoice,
    /// The event and its schema don't agree.
    #[error("{found} where the schema has {expected}")]
    Mismatch {
        /// What the event has.
        found: &'static str,
        /// What the schema has.
        expected: String,
    },
    /// What the event itself says is wrong with a value.
    #[error("{0}")]
    Value(String),
}

impl serde::ser::Error for DatumError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

impl serde::de::Error for DatumError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// A schema uses something that no contract of ours has needed yet.
#[derive(Debug, thiserror::Error)]
#[error("the codec doesn't know {0}")]
pub(crate) struct NotPlanned(String);

impl Plan {
    /// The layout of a schema's values.
    pub(crate) fn of(schema: &'static Schema) -> Result<Self, NotPlanned> {
        Self::within(schema, &mut HashMap::new())
    }

    /// Types that were named before are found in `named`.
    fn within(
        schema: &'static Schema,
        named: &mut HashMap<&'static Name, Plan>,
    ) -> Result<Self, NotPlanned> {
        Ok(match schema {
            Schema::Null => Self::Null,
            Schema::Boolean => Self::Boolean,
            Schema::Int => Self::Int,
            Schema::Long | Schema::TimestampMillis => Self::Long,
            Schema::Bytes => Self::Bytes,
            Schema::Decimal(decimal) if matches!(decimal.inner, InnerDecimalSchema::Bytes) => {
                Self::Bytes
            }
            Schema::String | Schema::Uuid(UuidSchema::String) => Self::Text,
            Schema::Enum(choice) => {
                let plan = Self::Enum(choice.symbols.iter().map(String::as_str).collect());
                named.insert(&choice.name, plan.clone());
                plan
            }
            Schema::Array(array) => Self::Array(Box::new(Self::within(&array.items, named)?)),
            Schema::Union(union) => {
                let branches = union.variants().iter();
                let branches = branches.map(|branch| Self::within(branch, named));
                Self::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    Ok(Field {
                        name: &field.name,
                        plan: Self::within(&field.schema, named)?,
                    })
                });
                let plan = Self::Record(fields.collect::<Result<_, NotPlanned>>()?);
                named.insert(&record.name, plan.clone());
                plan
            }
            // A record within itself isn't in it yet, so a plan has an end, and decoding a depth.
            Schema::Ref { name } => named
                .get(name)
                .cloned()
                .ok_or_else(|| NotPlanned(format!("a type named {name} here")))?,
            other => return Err(NotPlanned(format!("{other:?}"))),
        })
    }

    /// Appends a value's bytes.
    pub(crate) fn write<T: Serialize>(
        &self,
        bytes: &mut Vec<u8>,
        value: &T,
    ) -> Result<(), DatumError> {
        value.serialize(Writing::new(self, bytes))
    }

    /// Reads a value, and leaves the bytes after it.
    pub(crate) fn read<T: DeserializeOwned>(&self, bytes: &mut &[u8]) -> Result<T, DatumError> {
        T::deserialize(Reading::new(self, bytes))
    }

    /// As an error names it.
    fn name(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Enum(symbols) => format!("one of {symbols:?}"),
            Self::Array(items) => format!("an array of {}", items.name()),
            Self::Record(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("a record of {names:?}")
            }
            Self::Union(branches) => format!("a union of {} branches", branches.len()),
        }
    }

    fn mismatch(&self, found: &'static str) -> DatumError {
        DatumError::Mismatch {
            found,
            expected: self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    fn plan(json: &str) -> Plan {
        let schema = Schema::parse_str(json).expect("a schema");
        Plan::of(Box::leak(Box::new(schema))).expect("planned")
    }

    fn read<T: DeserializeOwned>(plan: &Plan, mut bytes: &[u8]) -> Result<T, DatumError> {
        plan.read(&mut bytes)
    }

    proptest! {
        #[test]
        fn integers_of_every_length_read_back(number: i64, shift in 0..64) {
            let (plan, number) = (plan(r#""long""#), number >> shift);
            let mut bytes = Vec::new();
            plan.write(&mut bytes, &number).expect("written");
            prop_assert_eq!(read::<i64>(&plan, &bytes).expect("read"), number);
            let cut = read::<i64>(&plan, &bytes[..bytes.len() - 1]);
            prop_assert!(matches!(cut, Err(DatumError::EndsTooEarly)));
        }
    }

    #[test]
    fn integers_out_of_range_are_refused() {
        let out_of_range = |outcome: Result<i64, DatumError>| {
            matches!(outcome, Err(DatumError::IntegerOutOfRange))
        };
        let all_ones = [[0xFF; 9].as_slice(), &[0x01]].concat();
        let (int, long) = (plan(r#""int""#), plan(r#""long""#));
        assert_eq!(read::<i64>(&long, &all_ones).expect("the least"), i64::MIN);
        assert!(out_of_range(read(&int, &all_ones)));
        assert!(out_of_range(read(
            &long,
            &[[0xFF; 9].as_slice(), &[0x02]].concat()
        )));
        assert!(out_of_range(read(&long, &[0x80; 20])));
        let written = int.write(&mut Vec::new(), &i64::MAX);
        assert!(out_of_range(written.map(|()| 0)));
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused_before_anything_is_made() {
        let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
        let strings = plan(r#"{"type": "array", "items": "string"}"#);
        let early = read::<Vec<String>>(&strings, &huge);
        assert!(matches!(early, Err(DatumError::EndsTooEarly)));
        let early = read::<String>(&plan(r#""string""#), &huge);
        assert!(matches!(early, Err(DatumError::EndsTooEarly)));
    }

    #[test]
    fn arrays_of_other_writers_blocks_are_read() {
        let ints = plan(r#"{"type": "array", "items": "int"}"#);
        // A block of two, a block of one with its length in bytes, and the end.
        let numbers = read::<Vec<i32>>(&ints, &[4, 2, 4, 1, 2, 6, 0]);
        assert_eq!(numbers.expect("read"), [1, 2, 3]);
    }

    #[test]
    fn fields_are_known_by_their_names_where_an_earlier_schema_lacks_one() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        struct Pair {
            #[serde(default)]
            added: i32,
            kept: i32,
        }
        let field = |name: &str| format!(r#"{{"name": "{name}", "type": "int"}}"#);
        let record = |fields: &str| {
            plan(&format!(
                r#"{{"type": "record", "name": "Pair", "fields": [{fields}]}}"#
            ))
        };
        let earlier = record(&field("kept"));
        let read = read::<Pair>(&earlier, &[8]).expect("read");
        assert_eq!(read, Pair { added: 0, kept: 4 });
        // Written it can't be by that, nor in another order.
        for fields in [field("kept"), [field("kept"), field("added")].join(",")] {
            let written = record(&fields).write(&mut Vec::new(), &read);
            assert!(
                matches!(written, Err(DatumError::Mismatch { .. })),
                "{fields}"
            );
        }
    }

    #[test]
    fn what_no_contract_needs_is_not_planned() {
        for json in [
            r#""double""#,
            r#"{"type": "map", "values": "int"}"#,
            r#"{"type": "record", "name": "Chain", "fields": [
                {"name": "next", "type": ["null", "Chain"]}]}"#,
        ] {
            let schema = Schema::parse_str(json).expect("a schema");
            assert!(Plan::of(Box::leak(Box::new(schema))).is_err(), "{json}");
        }
    }
}
