//! libpmemobj's own allocator: the log object and the extents come from here, once.
//!
//! Everything is reserve, fill, publish: a reservation lives in DRAM only, and one publish makes an
//! allocation or a free, and one word of ours, durable as one atomic step. So few changes fit into
//! the log that libpmemobj has for each thread; for more it would take room from the heap, and fail
//! in a full one.

use crate::error::{Error, Result};
use crate::layout::type_num;
use pmdk_bindings::{Libpmemobj, PMEMobjpool, PMEMoid, pobj_action};
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
    chunk_class: u16,
}

/// libpmemobj's unit of large objects.
const CHUNK: u64 = 256 << 10;
/// Bytes of the header of an object, which lies in its chunks.
const OBJECT_HEADER: u64 = 16;
/// Bytes of an object that has a chunk for itself. libpmemobj takes whole chunks by itself only for
/// objects above 384 KiB, so this is a class with one object a chunk.
pub(crate) const CHUNK_OBJECT: u64 = 261_632 - OBJECT_HEADER;
/// Unit and number of units a block of classes that pools of format 1 have objects of. libpmemobj
/// gives whole blocks back only if it knows their class.
const OLD_CLASSES: [(u64, u32); 2] = [(65_408, 8), (16_368, 32)];

/// An allocation that is not yet durable; [`Heap::cancel`] or [`Heap::publish`] ends it.
pub(crate) struct Reserved {
    offset: u64,
    action: pobj_action,
}

impl Reserved {
    /// Where the object is.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }
}

/// Has pools that are opened from now on mapped privately, or not.
pub(crate) fn map_privately(lib: &Libpmemobj, privately: bool) -> Result<()> {
    let mut on = std::ffi::c_int::from(privately);
    let entry = c"copy_on_write.at_open".as_ptr();
    // SAFETY: a setting of the library, for no pool; it takes an int, which it copies.
    match unsafe { lib.pmemobj_ctl_set(std::ptr::null_mut(), entry, (&raw mut on).cast()) } {
        0 => Ok(()),
        _ => Err(Error::Pmdk {
            operation: "choosing a private mapping",
            message: last_message(lib),
        }),
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
    /// The allocator of `pop`. Registers our classes, which libpmemobj forgets at close: they must
    /// be the same after every open, before the first allocation. Keeps libpmemobj from making the
    /// pool larger by itself.
    ///
    /// # Safety
    /// `pop` must be an open pool, used by this thread only, and stay open while the heap lives.
    pub(crate) unsafe fn new(lib: &'static Libpmemobj, pop: NonNull<PMEMobjpool>) -> Result<Heap> {
        let register = |unit: u64, units: u32| {
            let mut class = pmdk_bindings::pobj_alloc_class_desc {
                unit_size: unit as usize,
                alignment: 0,
                units_per_block: units,
                header_type: pmdk_bindings::POBJ_HEADER_COMPACT,
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
        for (unit, units) in OLD_CLASSES {
            register(unit, units)?;
        }
        let chunk_class = register(CHUNK_OBJECT + OBJECT_HEADER, 1)?;
        let mut never = 0_u64;
        let entry = c"heap.size.granularity".as_ptr();
        // SAFETY: the pool is open (caller); the entry point takes a number of 64 bits, which it
        // copies.
        match unsafe { lib.pmemobj_ctl_set(pop.as_ptr(), entry, (&raw mut never).cast()) } {
            0 => Ok(Heap {
                lib,
                pop,
                uuid: 0,
                chunk_class,
            }),
            _ => Err(Error::Pmdk {
                operation: "keeping the pool from growing by itself",
                message: last_message(lib),
            }),
        }
    }

    /// Makes the pool larger by a part of `bytes`, which lies where libpmemobj makes its next one.
    pub(crate) fn extend(&mut self, bytes: u64) -> Result<()> {
        let (entry, mut bytes) = (c"heap.size.extend".as_ptr(), bytes);
        // SAFETY: the pool is open; the entry point takes a number of 64 bits, which it copies.
        match unsafe {
            self.lib
                .pmemobj_ctl_exec(self.pop.as_ptr(), entry, (&raw mut bytes).cast())
        } {
            0 => Ok(()),
            _ => Err(Error::Pmdk {
                operation: "making the pool larger",
                message: last_message(self.lib),
            }),
        }
    }

    /// The root object of `size` bytes, made (zeroed, durably) if there is none.
    pub(crate) fn root(&mut self, size: u64) -> Result<u64> {
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

    /// Reserves [`CHUNK_OBJECT`] bytes for an object of the type `type_num`.
    pub(crate) fn reserve_chunk(&mut self, type_num: u64) -> Result<Reserved> {
        let class = pmdk_bindings::pobj_class_id(self.chunk_class);
        self.reserve_flags(CHUNK_OBJECT, type_num, class)
    }

    /// Reserves the largest object that there is room for in a pool of `len` bytes, with its usable
    /// size; `None` if no chunk is free any more.
    pub(crate) fn reserve_largest(&mut self, type_num: u64, len: u64) -> Option<(Reserved, u64)> {
        let size = |chunks: u64| chunks * CHUNK - OBJECT_HEADER;
        // So many chunks fit, and so many do not.
        let (mut fit, mut too_many) = (1, len.min(OBJECT_MAX) / CHUNK + 1);
        let mut chunks = 2;
        while fit + 1 < too_many {
            match self.reserve_flags(size(chunks), type_num, 0) {
                Ok(reserved) => {
                    self.cancel(reserved);
                    fit = chunks;
                }
                Err(_) => too_many = chunks,
            }
            chunks = fit.midpoint(too_many);
        }
        let largest = match fit {
            1 => self.reserve_chunk(type_num),
            _ => self.reserve_flags(size(fit), type_num, 0),
        };
        let len = if fit == 1 { CHUNK_OBJECT } else { size(fit) };
        largest.ok().map(|reserved| (reserved, len))
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

    /// Makes an allocation durable, together with the store of a word, as one atomic step. On
    /// failure nothing happened and the reservation is cancelled.
    pub(crate) fn publish(&mut self, reserved: Reserved, word: Option<(u64, u64)>) -> Result<()> {
        let mut actions = vec![reserved.action];
        if let Some((offset, value)) = word {
            // SAFETY: plain data, initialized by the library.
            let mut action: pobj_action = unsafe { zeroed() };
            let at = self
                .pop
                .as_ptr()
                .cast::<u8>()
                .wrapping_add(offset as usize)
                .cast::<u64>();
            // SAFETY: the pool is open; `offset` is an aligned word of the root object, which the
            // caller owns.
            unsafe {
                self.lib
                    .pmemobj_set_value(self.pop.as_ptr(), &mut action, at, value)
            };
            actions.push(action);
        }
        self.publish_all(actions)
    }

    /// Frees the object at `offset`, durably. Needs no room.
    pub(crate) fn free(&mut self, offset: u64) -> Result<()> {
        // SAFETY: plain data, initialized by the library.
        let mut action: pobj_action = unsafe { zeroed() };
        // SAFETY: the pool is open; the callers pass offsets of objects that the walk at open has
        // shown to exist and that were not freed since.
        unsafe {
            self.lib
                .pmemobj_defer_free(self.pop.as_ptr(), self.oid(offset), &mut action)
        };
        self.publish_all(vec![action])
    }

    fn publish_all(&mut self, mut actions: Vec<pobj_action>) -> Result<()> {
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
                operation: "publishing a change of libpmemobj's heap",
                message,
            });
        }
        Ok(())
    }

    /// Gives a reservation back.
    pub(crate) fn cancel(&mut self, reserved: Reserved) {
        let mut action = reserved.action;
        // SAFETY: a reservation of this open pool, used once.
        unsafe { self.lib.pmemobj_cancel(self.pop.as_ptr(), &mut action, 1) };
    }

    /// True if there are extents, slab pages or large objects. Costs a walk.
    pub(crate) fn holds_data(&self) -> Result<bool> {
        let mut found = false;
        self.walk(|kind, _, _| {
            found |= type_num::is_data(kind);
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `visit` with type number, offset and usable size of every object but the root.
    /// 0.4 µs an object.
    pub(crate) fn walk(&self, mut visit: impl FnMut(u64, u64, u64) -> Result<()>) -> Result<()> {
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
