//! libpmemobj's own allocator: pages, large objects and log segments come from here.
//!
//! Everything is reserve, fill, publish: a reservation lives in DRAM only, and one publish makes
//! any number of allocations, frees and one word of ours durable as one atomic step.

use crate::alloc::page;
use crate::error::{Error, Result};
use crate::layout::type_num;
use pmemobj_sys::{Libpmemobj, PMEMobjpool, PMEMoid, pobj_action};
use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr::NonNull;

/// Largest object libpmemobj can place (its own limit is a little under 16 GiB).
const OBJECT_MAX: u64 = (16 << 30) - (16 << 20);

/// The allocator of one open pool.
pub(crate) struct Heap {
    lib: &'static Libpmemobj,
    pop: NonNull<PMEMobjpool>,
    uuid: u64,
    page_class: u16,
    large_class: u16,
}

/// The least size that libpmemobj places in whole 256 KiB chunks by itself; its own classes below
/// that would carve several megabytes at once, too much for small pools.
const CHUNKED_MIN: u64 = (384 << 10) + 1;
/// Unit of our class for large objects below [`CHUNKED_MIN`]: 32 of them fill two chunks.
const LARGE_UNIT: u64 = 16_368;

/// An allocation that is not yet durable; [`Heap::cancel`] or [`Heap::publish`] ends it.
pub(crate) struct Reserved {
    offset: u64,
    action: pobj_action,
}

impl Reserved {
    /// Where the object is.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// The message of libpmemobj's last failure in this thread.
pub(crate) fn last_message(lib: &Libpmemobj) -> String {
    // SAFETY: takes nothing, gives a string that lives until the next failure in this thread.
    let message = unsafe { lib.pmemobj_errormsg() };
    if message.is_null() {
        return String::new();
    }
    // SAFETY: not null, so a terminated string; copied before libpmemobj is called again.
    unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned()
}

impl Heap {
    /// The allocator of `pop`. Registers the page class, which libpmemobj forgets at close: it must
    /// be the same one after every open, before the first allocation.
    ///
    /// # Safety
    /// `pop` must be an open pool, used by this thread only, and stay open while the heap lives.
    pub unsafe fn new(lib: &'static Libpmemobj, pop: NonNull<PMEMobjpool>) -> Result<Heap> {
        let register = |unit: u64, units: u32| {
            let mut class = pmemobj_sys::pobj_alloc_class_desc {
                unit_size: unit as usize,
                alignment: 0,
                units_per_block: units,
                header_type: pmemobj_sys::POBJ_HEADER_COMPACT,
                class_id: 0,
            };
            let entry = c"heap.alloc_class.new.desc".as_ptr();
            // SAFETY: the pool is open (caller) and the argument is what this entry point expects;
            // the library fills in `class_id`.
            match unsafe { lib.pmemobj_ctl_set(pop.as_ptr(), entry, (&raw mut class).cast()) } {
                0 => Ok(class.class_id as u16),
                _ => Err(Error::Pmdk {
                    operation: "registering an allocation class",
                    message: last_message(lib),
                }),
            }
        };
        let page_class = register(page::UNIT, 8)?;
        let large_class = register(LARGE_UNIT, 32)?;
        Ok(Heap {
            lib,
            pop,
            uuid: 0,
            page_class,
            large_class,
        })
    }

    /// The root object of `size` bytes, made (zeroed, durably) if there is none.
    pub fn root(&mut self, size: u64) -> Result<u64> {
        // SAFETY: the pool is open; the root object is allocated atomically by the library.
        let (had, oid) = unsafe {
            let had = self.lib.pmemobj_root_size(self.pop.as_ptr()) as u64;
            if had != 0 && had != size {
                return Err(Error::Damaged(format!(
                    "the root object has {had} bytes, not {size}"
                )));
            }
            (had, self.lib.pmemobj_root(self.pop.as_ptr(), size as usize))
        };
        if oid.off == 0 {
            let message = last_message(self.lib);
            return Err(match had {
                0 => Error::Full(size),
                _ => Error::Pmdk {
                    operation: "finding the root object",
                    message,
                },
            });
        }
        self.uuid = oid.pool_uuid_lo;
        Ok(oid.off)
    }

    fn oid(&self, offset: u64) -> PMEMoid {
        PMEMoid {
            pool_uuid_lo: self.uuid,
            off: offset,
        }
    }

    /// Reserves `size` bytes for an object of the type `type_num`.
    pub fn reserve(&mut self, size: u64, type_num: u64) -> Result<Reserved> {
        if size <= 24 * LARGE_UNIT - 16 {
            return self.reserve_flags(
                size,
                type_num,
                pmemobj_sys::pobj_class_id(self.large_class),
            );
        }
        self.reserve_flags(size.max(CHUNKED_MIN), type_num, 0)
    }

    /// Bytes usable of the published object at `offset`.
    pub fn usable_size(&self, offset: u64) -> u64 {
        // SAFETY: the pool is open and the caller's offset is an object just published.
        unsafe { self.lib.pmemobj_alloc_usable_size(self.oid(offset)) as u64 }
    }

    /// Reserves a slab page of `len` bytes.
    pub fn reserve_page(&mut self, len: u64, type_num: u64) -> Result<Reserved> {
        let class = if len == page::PAGE_LEN {
            self.page_class
        } else {
            0
        };
        self.reserve_flags(len, type_num, pmemobj_sys::pobj_class_id(class))
    }

    fn reserve_flags(&mut self, size: u64, type_num: u64, flags: u64) -> Result<Reserved> {
        if size > OBJECT_MAX {
            return Err(Error::TooLarge(size));
        }
        // SAFETY: an action is plain data that the library initializes.
        let mut action: pobj_action = unsafe { zeroed() };
        // SAFETY: the pool is open and `action` outlives the call.
        let oid = unsafe {
            self.lib.pmemobj_xreserve(
                self.pop.as_ptr(),
                &mut action,
                size as usize,
                type_num,
                flags,
            )
        };
        match oid.off {
            0 => Err(Error::Full(size)),
            offset => Ok(Reserved { offset, action }),
        }
    }

    /// Makes `allocs` and the freeing of the objects at `frees` durable, together with the store of
    /// a word, as one atomic step. On failure nothing happened and the reservations are cancelled.
    pub fn publish(
        &mut self,
        allocs: Vec<Reserved>,
        frees: &[u64],
        word: Option<(u64, u64)>,
    ) -> Result<()> {
        let mut actions: Vec<pobj_action> = allocs.iter().map(|reserved| reserved.action).collect();
        for &offset in frees {
            // SAFETY: plain data, initialized by the library.
            let mut action: pobj_action = unsafe { zeroed() };
            // SAFETY: the pool is open; the callers pass offsets of objects that the walk at open or
            // a publish has shown to exist and that were not freed since.
            unsafe {
                self.lib
                    .pmemobj_defer_free(self.pop.as_ptr(), self.oid(offset), &mut action)
            };
            actions.push(action);
        }
        if let Some((offset, value)) = word {
            // SAFETY: plain data, initialized by the library.
            let mut action: pobj_action = unsafe { zeroed() };
            let at = self
                .pop
                .as_ptr()
                .cast::<u8>()
                .wrapping_add(offset as usize)
                .cast::<u64>();
            // SAFETY: the pool is open; `offset` is an aligned word of the root object or of a log
            // segment, which the caller owns.
            unsafe {
                self.lib
                    .pmemobj_set_value(self.pop.as_ptr(), &mut action, at, value)
            };
            actions.push(action);
        }
        // SAFETY: all actions belong to this open pool and are used once.
        let failed = unsafe {
            self.lib
                .pmemobj_publish(self.pop.as_ptr(), actions.as_mut_ptr(), actions.len())
        };
        if failed != 0 {
            let message = last_message(self.lib);
            // SAFETY: a failed publish leaves the actions to be cancelled.
            unsafe {
                self.lib
                    .pmemobj_cancel(self.pop.as_ptr(), actions.as_mut_ptr(), actions.len())
            };
            return Err(Error::Pmdk {
                operation: "publishing allocations",
                message,
            });
        }
        Ok(())
    }

    /// Gives reservations back.
    pub fn cancel(&mut self, allocs: Vec<Reserved>) {
        let mut actions: Vec<pobj_action> = allocs.iter().map(|reserved| reserved.action).collect();
        // SAFETY: reservations of this open pool, each used once.
        unsafe {
            self.lib
                .pmemobj_cancel(self.pop.as_ptr(), actions.as_mut_ptr(), actions.len())
        };
    }

    /// True if there are slab pages or large objects. Costs a walk.
    pub fn holds_data(&self) -> Result<bool> {
        let mut found = false;
        self.walk(|kind, _, _| {
            found |= kind == type_num::PAGE || kind >= type_num::LARGE;
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `visit` with type number, offset and usable size of every object but the root.
    /// 0.4 µs an object.
    pub fn walk(&self, mut visit: impl FnMut(u64, u64, u64) -> Result<()>) -> Result<()> {
        // SAFETY: the pool is open and nothing is freed during the walk: `visit` has no heap.
        for oid in unsafe { self.lib.objects(self.pop.as_ptr()) } {
            // SAFETY: `oid` is an object the library has just found.
            let (type_num, size) = unsafe {
                (
                    self.lib.pmemobj_type_num(oid),
                    self.lib.pmemobj_alloc_usable_size(oid) as u64,
                )
            };
            visit(type_num, oid.off, size)?;
        }
        Ok(())
    }
}
