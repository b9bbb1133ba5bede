//! What OBJECT and MEMORY tell of a value.

use super::key::LOADING;
use super::with_engine;
use crate::behaviour::{self, Behaviour};
use crate::error::CmdError;
use crate::limits;
use store::expiry::KEY_NEVER;
use store::record;
use store::structures;
use store::structures::encoding::Known;

/// What OBJECT ENCODING calls the encoding of the value whose record is at `addr`. O(1), but for a
/// list O(`list-max-listpack-size`).
pub fn encoding(addr: usize) -> Result<&'static str, CmdError> {
    with_engine(|engine| {
        let record = engine.record_at(addr).ok_or(CmdError::Internal)?;
        let head = record::get(&engine.store.pool, record)?;
        let key_len = record::key(&engine.store.pool, record)?.len();
        let expires = head.expire_at != KEY_NEVER;
        let known = Known {
            listpack_sets: limits::listpack_sets_and_lists(),
            listpack_lists: limits::listpack_sets_and_lists().then(limits::listpack_lists),
            listpacks_with_times: Behaviour::ListpacksHoldTimes.here(),
            embedded_max: behaviour::embedded_max(key_len, expires),
            embedded_gap: behaviour::embedded_gap(key_len, expires),
        };
        let structure = structures::of(head.value_type()?);
        Ok(structure.encoding(&engine.store.pool, head.root, known)?)
    })
}

/// The bytes of the pool that the key takes whose record is at `addr`. O(1) for strings, else
/// O(elements) at most.
pub fn usage_of(addr: usize) -> Result<u64, CmdError> {
    with_engine(|engine| {
        let record = engine.record_at(addr).ok_or(LOADING)?;
        let head = *record::get(&engine.store.pool, record)?;
        let own = engine.store.pool.capacity(record)?;
        Ok(own + structures::of(head.value_type()?).memory(&engine.store.pool, head.root)?)
    })
}
