//! What PMDK defines as inline functions and macros with arguments, restated.

use std::ffi::{c_int, c_void};
use std::iter::successors;
use std::ptr;

use crate::raw::libpmemobj::{Libpmemobj, PMEMobjpool, PMEMoid, TX_PARAM_NONE};

/// The object handle that refers to nothing.
pub const OID_NULL: PMEMoid = PMEMoid {
    pool_uuid_lo: 0,
    off: 0,
};

/// Whether `oid` refers to nothing (`OID_IS_NULL`).
pub const fn oid_is_null(oid: PMEMoid) -> bool {
    oid.off == 0
}

/// The flag of an allocation that selects the allocation class `id` (`POBJ_CLASS_ID`).
pub const fn pobj_class_id(id: u16) -> u64 {
    (id as u64) << 48
}

/// The flag of an allocation that selects the arena `id` (`POBJ_ARENA_ID`).
pub const fn pobj_arena_id(id: u16) -> u64 {
    (id as u64) << 32
}

/// The bits of an allocation's flags that hold the class.
pub const POBJ_XALLOC_CLASS_MASK: u64 = pobj_class_id(u16::MAX);

/// The address of the object `oid` in the open pool `pop`, or null for [`OID_NULL`].
///
/// A pool's handle is the address at which it is mapped, and an object's offset counts from there.
/// With the pool known, this needs no look-up, unlike [`Libpmemobj::pmemobj_direct`], and does not
/// check that `oid` belongs to `pop`. The pointer is computed only; using it is up to the caller.
pub fn pmemobj_direct(pop: *mut PMEMobjpool, oid: PMEMoid) -> *mut c_void {
    if oid_is_null(oid) {
        return ptr::null_mut();
    }
    pop.cast::<c_void>().wrapping_byte_add(oid.off as usize)
}

impl Libpmemobj {
    /// Begins a transaction in this thread, without a jump buffer and without locks.
    ///
    /// Gives 0 or an error number; `pmemobj_tx_end` must be called in either case. To stay in the
    /// stage `TX_STAGE_WORK` when a step fails, call `pmemobj_tx_set_failure_behavior` with
    /// `POBJ_TX_FAILURE_RETURN` next.
    ///
    /// # Safety
    ///
    /// `pop` must be an open pool, the one of the transaction around this one if there is one.
    pub unsafe fn tx_begin(&self, pop: *mut PMEMobjpool) -> c_int {
        // SAFETY: `pop` is open, as the caller promises. A null environment is allowed: libpmemobj
        // then never jumps. The list of locks ends at once.
        unsafe { (self.pmemobj_tx_begin)(pop, ptr::null_mut(), TX_PARAM_NONE) }
    }

    /// All objects of the pool except the root object, in no useful order (`POBJ_FOREACH_SAFE`).
    ///
    /// The next object is looked up before one is given out, so that one may be freed.
    ///
    /// # Safety
    ///
    /// `pop` must be an open pool and stay open while the iterator is used. Of the objects that
    /// exist, only the one last given out may be freed meanwhile.
    pub unsafe fn objects(&self, pop: *mut PMEMobjpool) -> impl Iterator<Item = PMEMoid> + '_ {
        let present = |oid| (!oid_is_null(oid)).then_some(oid);
        // SAFETY: `pop` is open, as the caller promises.
        let first = unsafe { self.pmemobj_first(pop) };
        successors(present(first), move |&oid| {
            // SAFETY: the pool is still open and `oid` still exists, as the caller promises.
            present(unsafe { self.pmemobj_next(oid) })
        })
    }
}
