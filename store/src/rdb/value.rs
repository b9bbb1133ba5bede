//! A value of the pool, written as a native value.
//!
//! ```text
//! string   0   the bytes
//! list     1   the number of elements, each element
//! set      2   the number of members, each member
//! hash     4   the number of fields, of each its name and its value
//! zset     5   the number of elements, of each its name and its score, 8 bytes of a double, lowest first
//! hash    22   Valkey: the number of fields, of each its name, its value, and 8 bytes: Unix milliseconds, or -1
//! hash    24   Redis: 8 bytes: the earliest expire time; the number of fields, of each a number, its name and its value. The
//!              number is 0 if the field does not expire, else how much later than the earliest, plus 1
//! ```

use super::Dialect;
use super::number::{write_number, write_string};
use crate::content::Sound;
use crate::damaged::damaged;
use crate::expiry::FIELD_NEVER;
use crate::inline::Inline;
use crate::structures::hash::{self, Field};
use crate::structures::{self, Element, Root, Shape};
use crate::value::ValueType;
use pobj::{Error, Pool, Result};
use std::fmt;
use std::io::{self, Write};

/// The expire time that Valkey writes of a field that does not expire.
pub(super) const VALKEY_NEVER: i64 = -1;
/// The latest expire time that Redis gives a field, in Unix milliseconds. It does not start with a
/// file that has a much later one. Valkey knows no such end.
const REDIS_LATEST: i64 = (1 << 46) - 1;

/// A value of the pool.
#[derive(Clone, Copy)]
pub struct Value<'p> {
    /// The pool.
    pub pool: &'p Pool,
    /// Its type.
    pub ty: ValueType,
    /// Its root.
    pub root: Root,
    /// The area of its record.
    pub inline: Inline,
}

/// In which form a value is written, and how many elements of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    form: Form,
    elements: u64,
    /// Behind these there are others, which cannot be read.
    is_part: bool,
    /// Fields that expire, and whose times are not written.
    pub times_lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The one of the type that every server reads.
    Plain(ValueType),
    /// A hash without the fields whose time had come at that moment, and without times.
    HashAt(i64),
    ValkeyHash,
    /// With the earliest time.
    RedisHash(i64),
}

/// Why a value was not written to its end.
#[derive(Debug)]
pub enum WriteError {
    /// What it was to be written to has failed.
    Io(io::Error),
    /// It is damaged.
    Pool(Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> WriteError {
        WriteError::Pool(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Io(error) => error.fmt(f),
            WriteError::Pool(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}

impl Plan {
    /// The type's number in files.
    pub fn type_number(&self) -> u8 {
        match self.form {
            Form::Plain(ty) => ty.rdb(),
            Form::HashAt(_) => ValueType::Hash.rdb(),
            Form::ValkeyHash => 22,
            Form::RedisHash(_) => 24,
        }
    }

    /// Whether only servers that know the dialect read it.
    pub(super) fn needs_dialect(&self) -> bool {
        matches!(self.form, Form::ValkeyHash | Form::RedisHash(_))
    }
}

/// What is known of a hash's fields before it is written.
#[derive(Default)]
struct Fields {
    /// Those that expire.
    expiring: u64,
    /// Those of them whose time Redis can have, and the earliest such time.
    in_redis: u64,
    earliest: i64,
    /// Those whose time has not come, and which of them expire.
    living: u64,
    living_expiring: u64,
}

impl Fields {
    fn add(&mut self, field: &Field<'_>, now: i64) {
        let (expires, lives) = (field.expire_at != FIELD_NEVER, !is_over(field, now));
        if let Some(at) = redis_time(field.expire_at) {
            self.earliest = match self.in_redis {
                0 => at,
                _ => self.earliest.min(at),
            };
            self.in_redis += 1;
        }
        self.expiring += u64::from(expires);
        self.living += u64::from(lives);
        self.living_expiring += u64::from(lives && expires);
    }
}

/// Whether the time of a field has come.
fn is_over(field: &Field<'_>, now: i64) -> bool {
    field.expire_at != FIELD_NEVER && field.expire_at <= now
}

/// An expire time as a file has it, where zero and less mean something else.
fn past_zero(at: i64) -> i64 {
    at.max(1)
}

/// The expire time of a field in Redis; `None` if it gets none there.
fn redis_time(expire_at: i64) -> Option<i64> {
    (expire_at <= REDIS_LATEST).then(|| past_zero(expire_at))
}

impl Value<'_> {
    /// How to write the whole value, in a dialect; `None` if the dialect has no expire times of
    /// fields, and the time of all its fields has come at the moment `now`, in Unix milliseconds.
    /// Fields whose times the dialect does not have become permanent.
    /// O(1), and O(n) of a hash of which fields may expire.
    ///
    /// # Errors
    /// `Damaged`, as far as it was looked at.
    pub fn plan(&self, dialect: Dialect, now: i64) -> Result<Option<Plan>> {
        let mut fields = Fields::default();
        let elements = structures::of(self.ty).len(self.pool, self.root)?;
        if structures::may_expire(self.ty, self.root) {
            for field in hash::fields(self.pool, self.root)? {
                fields.add(&field?, now);
            }
        }
        Ok(self.plan_of(elements, &fields, dialect, now))
    }

    /// How to write as much of a value as can be read, from its first element to one that is
    /// damaged, or is there twice; and what is damaged. No plan if nothing can. O(n), in memory,
    /// too.
    pub fn plan_readable(&self, dialect: Dialect, now: i64) -> (Option<Plan>, Option<Error>) {
        let (mut elements, mut fields) = (0, Fields::default());
        let mut sound = Sound::of(self.ty);
        let seen = self.walk(&mut |element| {
            sound.admit(&element)?;
            if let Element::Field(field) = element {
                fields.add(&field, now);
            }
            elements += 1;
            Ok(())
        });
        let error = match seen {
            Err(WriteError::Pool(error)) => Some(error),
            // Nothing was written.
            Err(WriteError::Io(_)) | Ok(()) => None,
        };
        let plan = match elements {
            0 => None,
            _ => self.plan_of(elements, &fields, dialect, now),
        };
        let plan = plan.map(|plan| Plan {
            is_part: true,
            ..plan
        });
        (plan, error)
    }

    fn plan_of(&self, elements: u64, fields: &Fields, dialect: Dialect, now: i64) -> Option<Plan> {
        let mut plan = Plan {
            form: Form::Plain(self.ty),
            elements,
            is_part: false,
            times_lost: 0,
        };
        if fields.expiring == 0 {
            return Some(plan);
        }
        plan.form = match dialect {
            Dialect::Redis => {
                plan.times_lost = fields.expiring - fields.in_redis;
                match fields.in_redis {
                    0 => Form::Plain(self.ty),
                    _ => Form::RedisHash(fields.earliest),
                }
            }
            Dialect::Valkey => Form::ValkeyHash,
            Dialect::Plain => {
                plan.elements = fields.living;
                plan.times_lost = fields.living_expiring;
                Form::HashAt(now)
            }
        };
        (plan.elements > 0).then_some(plan)
    }

    /// Writes what is planned of the value: the part of an entry behind the key's name. The type's
    /// number stands before the name. Nothing is kept in memory.
    ///
    /// # Errors
    /// Those of `out`; `Damaged` if the value has not as many elements as it counts. What is
    /// written then is no whole value.
    pub fn write(&self, out: &mut dyn Write, plan: &Plan) -> Result<(), WriteError> {
        if let Form::RedisHash(earliest) = plan.form {
            out.write_all(&earliest.to_le_bytes())?;
        }
        if structures::of(self.ty).shape() != Shape::One {
            write_number(out, plan.elements)?;
        }
        let mut left = plan.elements;
        let walked = self.walk(&mut |element| {
            if let (Form::HashAt(now), Element::Field(field)) = (plan.form, &element)
                && is_over(field, now)
            {
                return Ok(());
            }
            left = left
                .checked_sub(1)
                .ok_or_else(|| damaged("a value has more elements than it counts"))?;
            write_element(out, plan.form, &element)
        });
        match walked {
            // A part ends where the rest cannot be read.
            Err(WriteError::Pool(_)) if plan.is_part && left == 0 => Ok(()),
            Err(error) => Err(error),
            Ok(()) if left == 0 => Ok(()),
            Ok(()) => Err(damaged("a value has fewer elements than it counts").into()),
        }
    }

    /// Shows all elements, in the order in which they are written.
    fn walk(
        &self,
        show: &mut dyn FnMut(Element<'_>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut failed = None;
        structures::of(self.ty).each(self.pool, self.root, self.inline, &mut |element| {
            let shown = show(element);
            Ok(shown.map_err(|error| failed = Some(error)).is_ok())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn write_element(out: &mut dyn Write, form: Form, element: &Element<'_>) -> Result<(), WriteError> {
    match element {
        Element::Bytes(bytes) => write_string(out, bytes)?,
        Element::Scored(name, score) => {
            write_string(out, name)?;
            out.write_all(&score.to_le_bytes())?;
        }
        Element::Field(field) => {
            if let Form::RedisHash(earliest) = form {
                let later = redis_time(field.expire_at).map(|at| at.abs_diff(earliest) + 1);
                write_number(out, later.unwrap_or(0))?;
            }
            write_string(out, field.name)?;
            write_string(out, field.value)?;
            if form == Form::ValkeyHash {
                let expire_at = match field.expire_at {
                    FIELD_NEVER => VALKEY_NEVER,
                    at => past_zero(at),
                };
                out.write_all(&expire_at.to_le_bytes())?;
            }
        }
    }
    Ok(())
}
