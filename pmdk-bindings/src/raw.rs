//! The code that build.rs generated, one module for each library.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated code; PMDK's manual pages document it"
)]

pub(crate) mod libpmemobj {
    include!(concat!(env!("OUT_DIR"), "/libpmemobj.rs"));
}

pub(crate) mod libpmem {
    include!(concat!(env!("OUT_DIR"), "/libpmem.rs"));
}
