//! Schema resolution: how a datum written with an older version of a schema is read as the newest
//! (Avro specification, "Schema Resolution").
//!
//! Our own, since the library's goes by what a value looks like: of two records with the same
//! fields in a union it takes the first, so that a written `CancelPayout` is read as
//! `ReleasePayout`; and it refuses decimals of fewer digits than their precision. This one goes
//! by names, and narrower than the specification allows: whatever could be read in two ways is
//! refused when the plan is made, at start, and not when a record comes.

use std::collections::HashMap;

use apache_avro::{
    Schema,
    schema::{
        EnumSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UnionSchema, UuidSchema,
    },
};
use serde_json::Value;

use super::rewriting::{Plan, Step, write_number};

/// Schemas nested deeper are refused: a plan for a schema that holds itself would have no end.
const DEPTH_MAX: usize = 32;

/// Why the newer schema can't read what the older one wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct Unresolvable {
    /// Where in the newer schema: field names, joined by dots.
    at: String,
    /// What is wrong there.
    reason: String,
}

/// A plan to read with `reader` what was written with `writer`.
pub(super) fn resolve(writer: &Schema, reader: &Schema) -> Result<Plan, Unresolvable> {
    let mut resolver = Resolver {
        written: HashMap::new(),
        read: HashMap::new(),
        path: Vec::new(),
    };
    collect(writer, &mut resolver.written);
    collect(reader, &mut resolver.read);
    resolver.plan(writer, reader)
}

type Names<'s> = HashMap<Name, &'s Schema>;

struct Resolver<'s> {
    written: Names<'s>,
    read: Names<'s>,
    /// The fields that lead to where we are.
    path: Vec<String>,
}

/// What a schema is on the wire, whatever it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Fixed(usize),
    Boolean,
    Int,
    Long,
    Sized,
    /// None that our schemas use.
    Other,
}

impl<'s> Resolver<'s> {
    fn plan(&mut self, writer: &'s Schema, reader: &'s Schema) -> Result<Plan, Unresolvable> {
        if self.path.len() > DEPTH_MAX {
            return Err(self.refused("nested too deeply"));
        }
        let writer = named(writer, &self.written);
        let reader = named(reader, &self.read);
        match (writer, reader) {
            (Schema::Union(writer), _) => {
                let members = writer.variants().iter();
                let plans: Result<_, _> = members.map(|member| self.plan(member, reader)).collect();
                Ok(Plan::Union(plans?))
            }
            (_, Schema::Union(reader)) => self.member(writer, reader),
            (Schema::Record(writer), Schema::Record(reader)) => self.record(writer, reader),
            (Schema::Enum(writer), Schema::Enum(reader)) => self.symbols(writer, reader),
            (Schema::Array(writer), Schema::Array(reader)) => {
                let item = self.plan(&writer.items, &reader.items)?;
                Ok(Plan::Array(Box::new(item)))
            }
            (Schema::Map(writer), Schema::Map(reader)) => {
                let value = self.plan(&writer.types, &reader.types)?;
                Ok(Plan::Map(Box::new(value)))
            }
            (Schema::Decimal(writer), Schema::Decimal(reader))
                if (writer.precision, writer.scale) != (reader.precision, reader.scale) =>
            {
                Err(self.refused("another precision or scale"))
            }
            (_, _) => self.primitive(writer, reader),
        }
    }

    fn primitive(&self, writer: &Schema, reader: &Schema) -> Result<Plan, Unresolvable> {
        // What is a decimal to one and plain bytes to the other has no meaning to agree on.
        let decimals = [writer, reader].map(|schema| matches!(schema, Schema::Decimal(_)));
        if decimals[0] != decimals[1] || names_differ(writer, reader) {
            return Err(self.refused("another type"));
        }
        match (wire(writer), wire(reader)) {
            (Wire::Fixed(written), Wire::Fixed(read)) if written == read => {
                Ok(Plan::Fixed(written))
            }
            (Wire::Boolean, Wire::Boolean) => Ok(Plan::Fixed(1)),
            (Wire::Int, Wire::Int | Wire::Long) | (Wire::Long, Wire::Long) => Ok(Plan::Number),
            (Wire::Sized, Wire::Sized)
                if matches!(writer, Schema::Bytes) == matches!(reader, Schema::Bytes) =>
            {
                Ok(Plan::Sized)
            }
            (_, _) => Err(self.refused("another type")),
        }
    }

    /// The member of the reader's union that has the writer's name, or else takes its type.
    fn member(
        &mut self,
        writer: &'s Schema,
        reader: &'s UnionSchema,
    ) -> Result<Plan, Unresolvable> {
        let here = self.path.len();
        for (index, member) in (0_i64..).zip(reader.variants()) {
            match self.plan(writer, member) {
                Ok(plan) => return Ok(Plan::Member(index, Box::new(plan))),
                // There is no other of this name: this is why.
                Err(error) if writer.name().is_some() && !names_differ(writer, member) => {
                    return Err(error);
                }
                Err(_) => self.path.truncate(here),
            }
        }
        let what = writer
            .name()
            .map_or_else(|| "what was written".to_owned(), ToString::to_string);
        Err(self.refused(&format!("the union takes no {what}")))
    }

    fn record(
        &mut self,
        writer: &'s RecordSchema,
        reader: &'s RecordSchema,
    ) -> Result<Plan, Unresolvable> {
        if writer.name != reader.name {
            return Err(self.refused("another record"));
        }
        let mut steps = Vec::new();
        let mut unread = writer.fields.as_slice();
        for field in &reader.fields {
            self.path.push(field.name.clone());
            if writer.fields.iter().any(|written| is_field(written, field)) {
                let Some(place) = unread.iter().position(|written| is_field(written, field)) else {
                    return Err(self.refused("the fields have another order"));
                };
                for dropped in &unread[..place] {
                    steps.push(Step::Drop(self.as_written(&dropped.schema)?));
                }
                steps.push(Step::Keep(self.plan(&unread[place].schema, &field.schema)?));
                unread = &unread[place + 1..];
            } else {
                steps.push(Step::Default(self.default(field)?));
            }
            self.path.pop();
        }
        for dropped in unread {
            steps.push(Step::Drop(self.as_written(&dropped.schema)?));
        }
        Ok(Plan::Record(steps))
    }

    /// A plan to read over something that the reader doesn't have.
    fn as_written(&mut self, schema: &'s Schema) -> Result<Plan, Unresolvable> {
        let read = std::mem::replace(&mut self.read, self.written.clone());
        let plan = self.plan(schema, schema);
        self.read = read;
        plan
    }

    fn symbols(&self, writer: &EnumSchema, reader: &EnumSchema) -> Result<Plan, Unresolvable> {
        if writer.name != reader.name {
            return Err(self.refused("another enum"));
        }
        let place = |symbol: &String| {
            (0_i64..)
                .zip(&reader.symbols)
                .find(|(_, read)| *read == symbol)
                .map(|(index, _)| index)
        };
        let symbols = writer.symbols.iter().map(|symbol| {
            place(symbol)
                .or_else(|| reader.default.as_ref().and_then(place))
                .ok_or_else(|| self.refused(&format!("the enum has no symbol {symbol}")))
        });
        Ok(Plan::Enum(symbols.collect::<Result<_, _>>()?))
    }

    fn default(&self, field: &RecordField) -> Result<Vec<u8>, Unresolvable> {
        let default = field
            .default
            .as_ref()
            .ok_or_else(|| self.refused("a new field without a default"))?;
        let mut encoded = Vec::new();
        encode_default(default, &field.schema, &self.read, &mut encoded)
            .ok_or_else(|| self.refused("a default of another type"))?;
        Ok(encoded)
    }

    fn refused(&self, reason: &str) -> Unresolvable {
        Unresolvable {
            at: self.path.join("."),
            reason: reason.to_owned(),
        }
    }
}

/// Whether the reader's field is this one of the writer's: by name, or by a former name.
fn is_field(written: &RecordField, read: &RecordField) -> bool {
    written.name == read.name || read.aliases.contains(&written.name)
}

fn names_differ(writer: &Schema, reader: &Schema) -> bool {
    writer.name() != reader.name()
}

fn named<'s>(schema: &'s Schema, names: &Names<'s>) -> &'s Schema {
    match schema {
        // A reference to a name that isn't there is refused when a schema is parsed.
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        other => other,
    }
}

/// The named types of a schema.
fn collect<'s>(schema: &'s Schema, names: &mut Names<'s>) {
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
        names.insert(name.clone(), schema);
    }
    match schema {
        Schema::Record(record) => {
            for field in &record.fields {
                collect(&field.schema, names);
            }
        }
        Schema::Union(union) => {
            for member in union.variants() {
                collect(member, names);
            }
        }
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        _ => {}
    }
}

fn wire(schema: &Schema) -> Wire {
    match schema {
        Schema::Null => Wire::Fixed(0),
        Schema::Boolean => Wire::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Wire::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Wire::Long,
        Schema::Bytes | Schema::String | Schema::Uuid(UuidSchema::String) => Wire::Sized,
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Wire::Sized,
            InnerDecimalSchema::Fixed(fixed) => Wire::Fixed(fixed.size),
        },
        Schema::Fixed(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => Wire::Fixed(fixed.size),
        _ => Wire::Other,
    }
}

/// Appends a field's default, which is JSON, as a datum of its schema; `None` if it isn't one. A
/// union's is of the first member that takes it; that of bytes has a character a byte.
fn encode_default(
    default: &Value,
    schema: &Schema,
    names: &Names<'_>,
    output: &mut Vec<u8>,
) -> Option<()> {
    let schema = named(schema, names);
    match (schema, default) {
        (Schema::Union(union), _) => {
            let (index, datum) = (0_i64..)
                .zip(union.variants())
                .find_map(|(index, member)| {
                    let mut datum = Vec::new();
                    encode_default(default, member, names, &mut datum)?;
                    Some((index, datum))
                })?;
            write_number(index, output);
            output.extend_from_slice(&datum);
        }
        (Schema::Null, Value::Null) => {}
        (Schema::Boolean, Value::Bool(value)) => output.push(u8::from(*value)),
        (Schema::Enum(symbols), Value::String(value)) => {
            let index = symbols.symbols.iter().position(|symbol| symbol == value)?;
            write_number(i64::try_from(index).ok()?, output);
        }
        (Schema::Array(array), Value::Array(items)) => {
            if !items.is_empty() {
                write_number(i64::try_from(items.len()).ok()?, output);
            }
            for item in items {
                encode_default(item, &array.items, names, output)?;
            }
            write_number(0, output);
        }
        (Schema::Map(_), Value::Object(entries)) if entries.is_empty() => write_number(0, output),
        (Schema::Record(record), Value::Object(values)) => {
            for field in &record.fields {
                let value = values.get(&field.name).or(field.default.as_ref())?;
                encode_default(value, &field.schema, names, output)?;
            }
        }
        (_, Value::Number(number)) => match wire(schema) {
            Wire::Int => write_number(i32::try_from(number.as_i64()?).ok()?.into(), output),
            Wire::Long => write_number(number.as_i64()?, output),
            Wire::Fixed(_) | Wire::Boolean | Wire::Sized | Wire::Other => return None,
        },
        (Schema::Bytes | Schema::Decimal(_), Value::String(text))
            if wire(schema) == Wire::Sized =>
        {
            let bytes: Option<Vec<u8>> = text
                .chars()
                .map(|character| u8::try_from(u32::from(character)).ok())
                .collect();
            write_sized(&bytes?, output)?;
        }
        (Schema::String | Schema::Uuid(UuidSchema::String), Value::String(text)) => {
            write_sized(text.as_bytes(), output)?;
        }
        (_, _) => return None,
    }
    Some(())
}

fn write_sized(bytes: &[u8], output: &mut Vec<u8>) -> Option<()> {
    write_number(i64::try_from(bytes.len()).ok()?, output);
    output.extend_from_slice(bytes);
    Some(())
}
