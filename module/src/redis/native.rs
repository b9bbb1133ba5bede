//! Native values, read whole.

use std::collections::HashSet;
use std::ffi::{c_int, c_long, c_void};
use store::content::{Content, Item};
use store::expiry::FIELD_NEVER;
use store::structures::{self, Shape};

use redis_module::raw as rm;

use super::{Arg, Ctx, Key, Mode, Reply, api, guard};
use crate::error::CmdError;

/// What cannot happen as long as the server keeps its word.
const UNREADABLE: CmdError = CmdError::text_only("ERR a native value cannot be read");

/// A value, and when its key expires, in Unix milliseconds.
pub(super) type NativeValue = (Content<Vec<u8>>, Option<i64>);

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
    /// All elements of a hash, a set or a sorted set, in the order in which the server has them.
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
        let mut seen = HashSet::with_capacity(pairs.len());
        let is_first: Vec<bool> = pairs.iter().map(|(one, _)| seen.insert(one)).collect();
        let mut is_first = is_first.into_iter();
        pairs.retain(|_| is_first.next() == Some(true));
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
                let bytes = std::slice::from_raw_parts(start.cast::<u8>(), len);
                Ok(bytes.to_vec())
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
    pub fn native_value(&self, name: Arg<'_>) -> Result<Option<NativeValue>, CmdError> {
        let key = self.open(name, Mode::Quiet);
        let Some(ty) = key.native_type() else {
            return Ok(None);
        };
        let elements = match structures::of(ty).shape() {
            Shape::One => vec![Item::Bytes(key.string()?)],
            Shape::Sequence => key.list(self)?.into_iter().map(Item::Bytes).collect(),
            Shape::Members => {
                let members = key.pairs().into_iter();
                members.map(|(member, _)| Item::Bytes(member)).collect()
            }
            Shape::Scored => scores(key.pairs())?,
            Shape::Fields => self.times(name, key.pairs())?,
        };
        Ok(Some((Content { ty, elements }, key.expire_at_ms())))
    }

    /// A hash's fields with their expire times, without those that have expired by now.
    fn times(&self, name: Arg<'_>, pairs: Pairs) -> Result<Vec<Item<Vec<u8>>>, CmdError> {
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
                let expire_at = match times.as_ref().map(|times| &times[at]) {
                    Some(&Reply::Integer(time)) if time >= 0 => time,
                    // Gone meanwhile.
                    Some(Reply::Integer(-2)) => continue,
                    _ => FIELD_NEVER,
                };
                fields.push(Item::Field(field.clone(), value, expire_at));
            }
        }
        Ok(fields)
    }
}

/// Elements with their scores, of which the server tells the text.
fn scores(pairs: Pairs) -> Result<Vec<Item<Vec<u8>>>, CmdError> {
    let score = |text: Option<Vec<u8>>| {
        let text = String::from_utf8(text?).ok()?;
        text.parse::<f64>().ok().filter(|score| !score.is_nan())
    };
    let scored = pairs
        .into_iter()
        .map(|(element, text)| Some(Item::Scored(element, score(text)?)));
    scored.collect::<Option<_>>().ok_or(UNREADABLE)
}
