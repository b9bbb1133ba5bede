//! Native values, read whole.

use std::ffi::{c_int, c_long, c_void};
use store::value::ValueType;

use redis_module::raw as rm;

use super::{Arg, Ctx, Key, Mode, Reply, api, guard};
use crate::error::CmdError;

/// A hash's field: its name, its value, and when it expires, in Unix milliseconds.
pub type NativeField = (Vec<u8>, Vec<u8>, Option<i64>);

/// A native value of a type that we have a counterpart of. Elements are in no particular order,
/// those of lists apart.
#[derive(Clone, Debug, PartialEq)]
pub enum NativeValue {
    /// A string's bytes.
    String(Vec<u8>),
    /// A list's elements, from left to right.
    List(Vec<Vec<u8>>),
    /// A hash's fields.
    Hash(Vec<NativeField>),
    /// A set's members.
    Set(Vec<Vec<u8>>),
    /// A sorted set's elements and scores.
    ZSet(Vec<(Vec<u8>, f64)>),
}

/// What cannot happen as long as the server keeps its word.
const UNREADABLE: CmdError = CmdError::text_only("ERR a native value cannot be read");

/// Elements, with what belongs to each.
type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

unsafe extern "C" fn on_element(
    _key: *mut rm::RedisModuleKey,
    element: *mut rm::RedisModuleString,
    value: *mut rm::RedisModuleString,
    pairs: *mut c_void,
) {
    // SAFETY: the server passes a string, and another one or NULL, for the time of the call; the
    // data is what `pairs` gave, which nobody else uses meanwhile.
    let (element, value, pairs) = unsafe {
        (
            Arg::from_raw(element),
            Arg::from_raw(value),
            &mut *pairs.cast::<Pairs>(),
        )
    };
    if let Some(element) = element {
        let value = value.map(|value| value.bytes().to_vec());
        guard((), || pairs.push((element.bytes().to_vec(), value)));
    }
}

impl Key<'_> {
    /// All elements of a hash, a set or a sorted set.
    fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::new();
        // SAFETY: an open key; the cursor is freed once, after its last use; the vector lives until
        // then, and the server only hands it to the callback.
        unsafe {
            let cursor = api(rm::RedisModule_ScanCursorCreate)();
            let scan = api(rm::RedisModule_ScanKey);
            while scan(
                self.raw(),
                cursor,
                Some(on_element),
                (&raw mut pairs).cast(),
            ) != 0
            {}
            api(rm::RedisModule_ScanCursorDestroy)(cursor);
        }
        // A table that is being resized may show an element twice.
        pairs.sort();
        pairs.dedup_by(|later, first| later.0 == first.0);
        pairs
    }

    fn list(&self, ctx: &Ctx) -> Result<Vec<Vec<u8>>, CmdError> {
        // SAFETY: an open key that holds a list.
        let len = unsafe { api(rm::RedisModule_ValueLength)(self.raw()) };
        let element = |index: usize| {
            // SAFETY: as above, of which the index is one; the string is ours to free, after the
            // last look at it.
            unsafe {
                let raw = api(rm::RedisModule_ListGet)(self.raw(), index as c_long);
                let bytes = Arg::from_raw(raw)?.bytes().to_vec();
                api(rm::RedisModule_FreeString)(ctx.raw(), raw);
                Some(bytes)
            }
        };
        (0..len)
            .map(|index| element(index).ok_or(UNREADABLE))
            .collect()
    }

    fn string(&self) -> Result<Vec<u8>, CmdError> {
        let mut len = 0;
        // SAFETY: an open key that holds a string; the bytes are live until the key changes.
        unsafe {
            let dma = api(rm::RedisModule_StringDMA);
            let start = dma(self.raw(), &mut len, rm::REDISMODULE_READ as c_int);
            if start.is_null() {
                Err(UNREADABLE)
            } else {
                Ok(std::slice::from_raw_parts(start.cast::<u8>(), len).to_vec())
            }
        }
    }
}

impl Ctx {
    /// The native value of a key, if it has one of a type that we have, and when it expires. No
    /// access, and of hashes of which fields may expire a hit. O(n).
    ///
    /// # Errors
    /// The server does not give the value.
    pub fn native_value(
        &self,
        name: Arg<'_>,
    ) -> Result<Option<(ValueType, NativeValue, Option<i64>)>, CmdError> {
        let key = self.open(name, Mode::Quiet);
        let Some(ty) = key.native_type() else {
            return Ok(None);
        };
        let value = match ty {
            ValueType::String => NativeValue::String(key.string()?),
            ValueType::List => NativeValue::List(key.list(self)?),
            ValueType::Set => {
                NativeValue::Set(key.pairs().into_iter().map(|(one, _)| one).collect())
            }
            ValueType::ZSet => NativeValue::ZSet(scores(key.pairs())?),
            ValueType::Hash => NativeValue::Hash(self.times(name, key.pairs())?),
        };
        Ok(Some((ty, value, key.expire_at_ms())))
    }

    /// A hash's fields with their expire times, without those that have expired by now.
    fn times(&self, name: Arg<'_>, pairs: Pairs) -> Result<Vec<NativeField>, CmdError> {
        const AT_ONCE: usize = 1000;
        let mut fields = Vec::with_capacity(pairs.len());
        for chunk in pairs.chunks(AT_ONCE) {
            let count = chunk.len().to_string();
            let mut words: Vec<&[u8]> = vec![name.bytes(), b"FIELDS", count.as_bytes()];
            words.extend(chunk.iter().map(|(field, _)| field.as_slice()));
            let times = match self.call(c"HPEXPIRETIME", &words) {
                Some(Reply::Array(times)) if times.len() == chunk.len() => Some(times),
                // A server without such times.
                _ => None,
            };
            for (at, (field, value)) in chunk.iter().enumerate() {
                let value = value.clone().ok_or(UNREADABLE)?;
                match times.as_ref().map(|times| &times[at]) {
                    Some(&Reply::Integer(time)) if time >= 0 => {
                        fields.push((field.clone(), value, Some(time)));
                    }
                    // Gone meanwhile.
                    Some(Reply::Integer(-2)) => {}
                    _ => fields.push((field.clone(), value, None)),
                }
            }
        }
        Ok(fields)
    }
}

/// Elements with their scores, of which the server tells the text.
fn scores(pairs: Pairs) -> Result<Vec<(Vec<u8>, f64)>, CmdError> {
    let score = |text: Option<Vec<u8>>| {
        let text = String::from_utf8(text?).ok()?;
        text.parse::<f64>().ok().filter(|score| !score.is_nan())
    };
    let scored = pairs
        .into_iter()
        .map(|(element, text)| Some((element, score(text)?)));
    scored.collect::<Option<_>>().ok_or(UNREADABLE)
}
