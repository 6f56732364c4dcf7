//! Bytes to an event.

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
        Visitor,
        value::{BorrowedStrDeserializer, U32Deserializer},
    },
    forward_to_deserialize_any,
};

use super::{DatumError, Field, Plan};

/// Reads one value.
pub(super) struct Reading<'p, 'b, 'de> {
    plan: &'p Plan,
    bytes: &'b mut &'de [u8],
}

impl<'p, 'b, 'de> Reading<'p, 'b, 'de> {
    pub(super) fn new(plan: &'p Plan, bytes: &'b mut &'de [u8]) -> Self {
        Self { plan, bytes }
    }

    /// With the branch that was taken, where the plan is a union.
    fn branch(self) -> Result<Self, DatumError> {
        let Plan::Union(branches) = self.plan else {
            return Ok(self);
        };
        let (_, branch) = read_choice(self.bytes, branches)?;
        Ok(Self::new(branch, self.bytes))
    }
}

fn read_byte(bytes: &mut &[u8]) -> Result<u8, DatumError> {
    let (first, rest) = bytes.split_first().ok_or(DatumError::EndsTooEarly)?;
    *bytes = rest;
    Ok(*first)
}

fn read_long(bytes: &mut &[u8]) -> Result<i64, DatumError> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = read_byte(bytes)?;
        let bits = u64::from(byte & 0x7F);
        // Of the tenth byte only one bit is left.
        if shift == 63 && bits > 1 {
            return Err(DatumError::IntegerOutOfRange);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    Err(DatumError::IntegerOutOfRange)
}

fn read_int(bytes: &mut &[u8]) -> Result<i32, DatumError> {
    i32::try_from(read_long(bytes)?).map_err(|_| DatumError::IntegerOutOfRange)
}

fn read_blob<'de>(bytes: &mut &'de [u8]) -> Result<&'de [u8], DatumError> {
    let length = read_long(bytes)?;
    let length = usize::try_from(length).map_err(|_| DatumError::IntegerOutOfRange)?;
    let (blob, rest) = bytes
        .split_at_checked(length)
        .ok_or(DatumError::EndsTooEarly)?;
    *bytes = rest;
    Ok(blob)
}

/// A branch of a union, or a symbol, and its place.
fn read_choice<'p, T>(bytes: &mut &[u8], choices: &'p [T]) -> Result<(u32, &'p T), DatumError> {
    let place = read_long(bytes)?;
    let place = u32::try_from(place).map_err(|_| DatumError::UnknownChoice)?;
    let choice = choices.get(place as usize);
    Ok((place, choice.ok_or(DatumError::UnknownChoice)?))
}

impl<'de> Deserializer<'de> for Reading<'_, '_, 'de> {
    type Error = DatumError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        let Self { plan, bytes } = self.branch()?;
        match plan {
            Plan::Null => visitor.visit_unit(),
            Plan::Boolean => match read_byte(bytes)? {
                0 => visitor.visit_bool(false),
                1 => visitor.visit_bool(true),
                _ => Err(DatumError::UnknownChoice),
            },
            Plan::Int => visitor.visit_i32(read_int(bytes)?),
            Plan::Long => visitor.visit_i64(read_long(bytes)?),
            Plan::Bytes => visitor.visit_borrowed_bytes(read_blob(bytes)?),
            Plan::Text => {
                let text = std::str::from_utf8(read_blob(bytes)?);
                visitor.visit_borrowed_str(text.map_err(|_| DatumError::NotUtf8)?)
            }
            Plan::Enum(symbols) => visitor.visit_str(read_choice(bytes, symbols)?.1),
            Plan::Array(plan) => visitor.visit_seq(Items {
                plan,
                bytes,
                left: 0,
                ended: false,
            }),
            Plan::Record(fields) => visitor.visit_map(Fields {
                planned: fields,
                declared: &[],
                next: 0,
                bytes,
            }),
            // A union can't be a branch of one.
            Plan::Union(_) => Err(plan.mismatch("a value")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        let reading = self.branch()?;
        match reading.plan {
            Plan::Null => visitor.visit_none(),
            _ => visitor.visit_some(reading),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        let Self { plan, bytes } = self.branch()?;
        match plan {
            Plan::Record(fields) => visitor.visit_map(Fields {
                planned: fields,
                declared,
                next: 0,
                bytes,
            }),
            other => Err(other.mismatch("a record")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        let Self { plan, bytes } = self;
        match plan {
            Plan::Enum(symbols) => {
                let (place, symbol) = read_choice(bytes, symbols)?;
                match declared.get(place as usize) {
                    Some(name) if name == symbol => visitor.visit_enum(place.into_deserializer()),
                    _ => visitor.visit_enum((*symbol).into_deserializer()),
                }
            }
            Plan::Union(branches) => {
                let (place, branch) = read_choice(bytes, branches)?;
                let value = Reading::new(branch, bytes);
                visitor.visit_enum(Variant { place, value })
            }
            other => Err(other.mismatch("a symbol or a variant")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// An array on its way: blocks of items, the last one empty.
struct Items<'p, 'b, 'de> {
    plan: &'p Plan,
    bytes: &'b mut &'de [u8],
    /// Of the block.
    left: usize,
    ended: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, '_, 'de> {
    type Error = DatumError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DatumError> {
        if self.left == 0 && !self.ended {
            let count = read_long(self.bytes)?;
            if count < 0 {
                // The block's bytes, for those who would skip it.
                read_long(self.bytes)?;
            }
            let count = count.unsigned_abs();
            self.left = usize::try_from(count).map_err(|_| DatumError::IntegerOutOfRange)?;
            self.ended = count == 0;
            // No item of ours takes no bytes, so a count can't make work out of nothing.
            if self.left > self.bytes.len() {
                return Err(DatumError::EndsTooEarly);
            }
        }
        if self.ended {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(Reading::new(self.plan, self.bytes))
            .map(Some)
    }
}

/// A record on its way.
struct Fields<'p, 'b, 'de> {
    planned: &'p [Field],
    /// The event's own fields, in their order.
    declared: &'static [&'static str],
    next: usize,
    bytes: &'b mut &'de [u8],
}

impl<'de> MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = DatumError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DatumError> {
        let Some(field) = self.planned.get(self.next) else {
            return Ok(None);
        };
        // Serde knows a field by its place faster than by its name, and the place is mostly that
        // of the schema: not where an earlier version lacks a field.
        let key = match (self.declared.get(self.next), u32::try_from(self.next)) {
            (Some(name), Ok(place)) if *name == field.name => {
                seed.deserialize(U32Deserializer::new(place))
            }
            _ => seed.deserialize(BorrowedStrDeserializer::new(field.name)),
        };
        key.map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DatumError> {
        let field = &self.planned[self.next];
        self.next += 1;
        seed.deserialize(Reading::new(&field.plan, self.bytes))
    }
}

/// A variant of an enum: the branch in its place.
struct Variant<'p, 'b, 'de> {
    place: u32,
    value: Reading<'p, 'b, 'de>,
}

impl<'p, 'b, 'de> EnumAccess<'de> for Variant<'p, 'b, 'de> {
    type Error = DatumError;
    type Variant = Reading<'p, 'b, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), DatumError> {
        let variant = seed.deserialize(U32Deserializer::new(self.place))?;
        Ok((variant, self.value))
    }
}

impl<'de> VariantAccess<'de> for Reading<'_, '_, 'de> {
    type Error = DatumError;

    fn unit_variant(self) -> Result<(), DatumError> {
        Err(self.plan.mismatch("a variant without a value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DatumError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DatumError> {
        Err(self.plan.mismatch("a tuple"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DatumError> {
        Err(self.plan.mismatch("a variant with fields"))
    }
}
