//! Raw bindings to libpmemobj (PMDK 1.12.1 or newer), loaded at run time.
//!
//! The library is opened with dlopen by [`load()`] and not linked, because libpmem's constructor
//! reads the variables `PMEM_IS_PMEM_FORCE` and `PMEM_NO_FLUSH` once: a program that decides about
//! them from its own arguments sets them first and then calls [`load()`]. A machine without the
//! library gets a [`LoadError`] that names the package to install.
//!
//! Functions, types and constants have PMDK's names; its manual pages say what they mean. The
//! functions are methods of [`Libpmemobj`] and [`Libpmem`], except [`pmemobj_tx_begin`], which is
//! variadic and therefore a field (see [`Libpmemobj::tx_begin`]). Macros with arguments and inline
//! functions are restated in Rust, and the tests compare them with C.
//!
//! # Versions
//!
//! The build refuses headers older than 1.12.1; 1.12.0 has a broken transaction commit. At run time
//! only the version of the *interface* can be asked for (2.4 in PMDK 1.12.1), not the release, so
//! [`load()`] cannot tell 1.12.0 from 1.12.1: keeping the installed library as new as the headers
//! it was built with is left to the package's dependencies.
//!
//! [`pmemobj_tx_begin`]: Libpmemobj::pmemobj_tx_begin

mod inline;
mod load;
mod raw;

pub use inline::{
    OID_NULL, POBJ_XALLOC_CLASS_MASK, oid_is_null, pmemobj_direct, pobj_arena_id, pobj_class_id,
};
pub use load::{LoadError, load, load_libpmem};
pub use raw::{libpmem::Libpmem, libpmemobj::*};
