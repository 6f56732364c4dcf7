//! A datum of an older schema, rewritten as the newest would have written it: one pass over its
//! bytes, following a plan made once for the two schemas.

/// The datum doesn't follow the schema it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotItsSchema {
    /// It ends in the middle of something.
    #[error("the datum ends early")]
    EndsEarly,
    /// A number has more bytes than 64 bits take.
    #[error("a number has too many bytes")]
    NumberTooLong,
    /// A length is negative.
    #[error("a length is negative")]
    NegativeLength,
    /// An enum or a union doesn't have so many.
    #[error("an enum or union has no member {0}")]
    NoSuchMember(i64),
}

/// What to do with the next thing of a datum.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// So many bytes, as they are: null, boolean, float, double, fixed.
    Fixed(usize),
    /// A number of variable length, as it is: int, long.
    Number,
    /// A length and so many bytes, as they are: bytes, string.
    Sized,
    /// An enum: the reader's index of each of the writer's symbols.
    Enum(Vec<i64>),
    /// An array: what to do with each item.
    Array(Box<Plan>),
    /// A map: what to do with each value.
    Map(Box<Plan>),
    /// A union: what to do with each of the writer's members.
    Union(Vec<Plan>),
    /// A member of the reader's union: its index there, then the thing itself.
    Member(i64, Box<Plan>),
    /// A record.
    Record(Vec<Step>),
}

/// What to do with the next field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Both schemas have it.
    Keep(Plan),
    /// The reader doesn't have it.
    Drop(Plan),
    /// Only the reader has it: its default, encoded.
    Default(Vec<u8>),
}

impl Plan {
    /// Takes one datum off `input`, and appends what the reader's schema makes of it to `output`.
    pub(super) fn run(&self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<(), NotItsSchema> {
        match self {
            Self::Fixed(bytes) => output.extend_from_slice(take(input, *bytes)?),
            Self::Number => write_number(read_number(input)?, output),
            Self::Sized => {
                let length = read_number(input)?;
                write_number(length, output);
                let length = usize::try_from(length).map_err(|_| NotItsSchema::NegativeLength)?;
                output.extend_from_slice(take(input, length)?);
            }
            Self::Enum(symbols) => write_number(*member(symbols, input)?, output),
            Self::Array(item) => {
                run_blocks(input, output, |input, output| item.run(input, output))?;
            }
            Self::Map(value) => run_blocks(input, output, |input, output| {
                Self::Sized.run(input, output)?;
                value.run(input, output)
            })?,
            Self::Union(members) => member(members, input)?.run(input, output)?,
            Self::Member(index, plan) => {
                write_number(*index, output);
                plan.run(input, output)?;
            }
            Self::Record(steps) => {
                for step in steps {
                    step.run(input, output)?;
                }
            }
        }
        Ok(())
    }
}

impl Step {
    fn run(&self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<(), NotItsSchema> {
        match self {
            Self::Keep(plan) => plan.run(input, output),
            Self::Drop(plan) => {
                let kept = output.len();
                plan.run(input, output)?;
                output.truncate(kept);
                Ok(())
            }
            Self::Default(encoded) => {
                output.extend_from_slice(encoded);
                Ok(())
            }
        }
    }
}

/// Items of an array or a map come in blocks: a count and so many items, until a count of zero. A
/// negative count is followed by the block's bytes, which change here and are left out.
fn run_blocks(
    input: &mut &[u8],
    output: &mut Vec<u8>,
    mut run_item: impl FnMut(&mut &[u8], &mut Vec<u8>) -> Result<(), NotItsSchema>,
) -> Result<(), NotItsSchema> {
    loop {
        let count = read_number(input)?;
        if count < 0 {
            read_number(input)?;
        }
        let items = count.unsigned_abs();
        // An item has no byte at all only if its schema holds nothing; ours all hold something.
        if items > input.len() as u64 {
            return Err(NotItsSchema::EndsEarly);
        }
        write_number(count.saturating_abs(), output);
        if items == 0 {
            return Ok(());
        }
        for _ in 0..items {
            run_item(input, output)?;
        }
    }
}

fn member<'a, M>(members: &'a [M], input: &mut &[u8]) -> Result<&'a M, NotItsSchema> {
    let index = read_number(input)?;
    usize::try_from(index)
        .ok()
        .and_then(|index| members.get(index))
        .ok_or(NotItsSchema::NoSuchMember(index))
}

fn take<'a>(input: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], NotItsSchema> {
    let (taken, rest) = input
        .split_at_checked(bytes)
        .ok_or(NotItsSchema::EndsEarly)?;
    *input = rest;
    Ok(taken)
}

/// Seven bits a byte, the lowest first, the sign in the lowest bit (zigzag).
fn read_number(input: &mut &[u8]) -> Result<i64, NotItsSchema> {
    let mut bits = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        bits |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
        }
    }
    Err(NotItsSchema::NumberTooLong)
}

/// The inverse of [`read_number`].
pub(super) fn write_number(number: i64, output: &mut Vec<u8>) {
    let mut bits = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while bits > 0x7f {
        output.push(bits.to_le_bytes()[0] | 0x80);
        bits >>= 7;
    }
    output.push(bits.to_le_bytes()[0]);
}
