//! An event to its bytes.

use std::{fmt::Display, io::Write, slice};

use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeSeq, SerializeStruct},
};

use super::{DatumError, Field, Plan};

/// Writes one value.
pub(super) struct Writing<'p, 'b> {
    plan: &'p Plan,
    bytes: &'b mut Vec<u8>,
}

type Outcome = Result<(), DatumError>;

impl<'p, 'b> Writing<'p, 'b> {
    pub(super) fn new(plan: &'p Plan, bytes: &'b mut Vec<u8>) -> Self {
        Self { plan, bytes }
    }

    fn integer(self, number: i64) -> Outcome {
        match self.plan {
            Plan::Int if i32::try_from(number).is_err() => Err(DatumError::IntegerOutOfRange),
            Plan::Int | Plan::Long => {
                write_long(self.bytes, number);
                Ok(())
            }
            other => Err(other.mismatch("an integer")),
        }
    }

    /// A choice by its place, which mostly is that of the schema, and else by its name.
    fn symbol(self, index: u32, name: &str) -> Outcome {
        let Plan::Enum(symbols) = self.plan else {
            return Err(self.plan.mismatch("a symbol"));
        };
        let place = index as usize;
        let place = match symbols.get(place) {
            Some(symbol) if *symbol == name => place,
            _ => symbols
                .iter()
                .position(|symbol| *symbol == name)
                .ok_or(DatumError::UnknownChoice)?,
        };
        write_length(self.bytes, place)
    }

    /// The branch of a union that is null, or the one that is not.
    fn optional(self, null: bool) -> Result<Self, DatumError> {
        let Plan::Union(branches) = self.plan else {
            return Err(self.plan.mismatch("an optional value"));
        };
        let place = branches
            .iter()
            .position(|branch| matches!(branch, Plan::Null) == null)
            .ok_or(DatumError::UnknownChoice)?;
        write_length(self.bytes, place)?;
        Ok(Self::new(&branches[place], self.bytes))
    }

    fn blob(self, blob: &[u8]) -> Outcome {
        write_length(self.bytes, blob.len())?;
        self.bytes.extend_from_slice(blob);
        Ok(())
    }
}

/// Zigzag, then seven bits to a byte, the lowest first.
fn write_long(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned();
    while rest > 0x7F {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

fn write_length(bytes: &mut Vec<u8>, length: usize) -> Outcome {
    let length = i64::try_from(length).map_err(|_| DatumError::IntegerOutOfRange)?;
    write_long(bytes, length);
    Ok(())
}

/// Integers of all widths are written alike.
macro_rules! integers {
    ($($method:ident: $integer:ty),*) => {
        $(fn $method(self, number: $integer) -> Outcome {
            let number = i64::try_from(number).map_err(|_| DatumError::IntegerOutOfRange)?;
            self.integer(number)
        })*
    };
}

/// What no event of ours holds.
macro_rules! refused {
    ($($method:ident($($argument:ty),*) -> $ok:ty: $found:literal),* $(,)?) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, DatumError> {
            Err(self.plan.mismatch($found))
        })*
    };
}

impl<'p, 'b> Serializer for Writing<'p, 'b> {
    type Ok = ();
    type Error = DatumError;
    type SerializeSeq = Items<'p, 'b>;
    type SerializeTuple = Impossible<(), DatumError>;
    type SerializeTupleStruct = Impossible<(), DatumError>;
    type SerializeTupleVariant = Impossible<(), DatumError>;
    type SerializeMap = Impossible<(), DatumError>;
    type SerializeStruct = Fields<'p, 'b>;
    type SerializeStructVariant = Impossible<(), DatumError>;

    fn is_human_readable(&self) -> bool {
        false
    }

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    refused! {
        serialize_f32(f32) -> (): "a floating-point number",
        serialize_f64(f64) -> (): "a floating-point number",
        serialize_char(char) -> (): "a character",
        serialize_unit() -> (): "nothing",
        serialize_unit_struct(&'static str) -> (): "nothing",
        serialize_tuple(usize) -> Self::SerializeTuple: "a tuple",
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct: "a tuple",
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant: "a tuple",
        serialize_map(Option<usize>) -> Self::SerializeMap: "a map",
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant: "a variant with fields",
    }

    fn serialize_bool(self, value: bool) -> Outcome {
        let Plan::Boolean = self.plan else {
            return Err(self.plan.mismatch("a boolean"));
        };
        self.bytes.push(u8::from(value));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Outcome {
        match self.plan {
            Plan::Text => self.blob(text.as_bytes()),
            other => Err(other.mismatch("text")),
        }
    }

    fn serialize_bytes(self, blob: &[u8]) -> Outcome {
        match self.plan {
            Plan::Bytes => self.blob(blob),
            other => Err(other.mismatch("bytes")),
        }
    }

    /// Without a string in between: codes are short, and there are several in every record.
    fn collect_str<T: ?Sized + Display>(self, value: &T) -> Outcome {
        let Plan::Text = self.plan else {
            return Err(self.plan.mismatch("text"));
        };
        let start = self.bytes.len();
        write!(self.bytes, "{value}").map_err(serde::ser::Error::custom)?;
        let length = self.bytes.len() - start;
        write_length(self.bytes, length)?;
        let length_bytes = self.bytes.len() - start - length;
        self.bytes[start..].rotate_right(length_bytes);
        Ok(())
    }

    fn serialize_none(self) -> Outcome {
        self.optional(true).map(|_null| ())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Outcome {
        value.serialize(self.optional(false)?)
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, name: &'static str) -> Outcome {
        self.symbol(index, name)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        value.serialize(self)
    }

    /// A variant is the branch in its place: a union's new members come after the old ones.
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        let Plan::Union(branches) = self.plan else {
            return Err(self.plan.mismatch("a variant"));
        };
        let branch = branches
            .get(index as usize)
            .ok_or(DatumError::UnknownChoice)?;
        write_long(self.bytes, i64::from(index));
        value.serialize(Writing::new(branch, self.bytes))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, DatumError> {
        match (self.plan, length) {
            (Plan::Array(items), Some(length)) => {
                if length > 0 {
                    write_length(self.bytes, length)?;
                }
                Ok(Items {
                    plan: items,
                    bytes: self.bytes,
                    left: length,
                })
            }
            (other, _) => Err(other.mismatch("a sequence, or one of unknown length")),
        }
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, DatumError> {
        match self.plan {
            Plan::Record(fields) => Ok(Fields {
                left: fields.iter(),
                bytes: self.bytes,
            }),
            other => Err(other.mismatch("a record")),
        }
    }
}

/// An array on its way: one block of all items, then an empty one.
pub(super) struct Items<'p, 'b> {
    plan: &'p Plan,
    bytes: &'b mut Vec<u8>,
    left: usize,
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = DatumError;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Outcome {
        self.left = self.left.checked_sub(1).ok_or_else(miscounted)?;
        value.serialize(Writing::new(self.plan, self.bytes))
    }

    fn end(self) -> Outcome {
        if self.left > 0 {
            return Err(miscounted());
        }
        self.bytes.push(0);
        Ok(())
    }
}

fn miscounted() -> DatumError {
    DatumError::Value("a sequence that isn't as long as it said".to_owned())
}

/// A record on its way. Events declare their fields in the schema's order.
pub(super) struct Fields<'p, 'b> {
    left: slice::Iter<'p, Field>,
    bytes: &'b mut Vec<u8>,
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = DatumError;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Outcome {
        match self.left.next() {
            Some(field) if field.name == name => {
                value.serialize(Writing::new(&field.plan, self.bytes))
            }
            expected => Err(DatumError::Mismatch {
                found: name,
                expected: format!("{:?}", expected.map(|field| field.name)),
            }),
        }
    }

    fn end(mut self) -> Outcome {
        match self.left.next() {
            None => Ok(()),
            Some(field) => Err(DatumError::Mismatch {
                found: "no further field",
                expected: field.name.to_owned(),
            }),
        }
    }
}
