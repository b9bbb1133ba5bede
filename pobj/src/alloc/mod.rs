//! Allocation: extents cut into granules, runs of granules, slab pages and their slots.
//!
//! | file | what |
//! |---|---|
//! | `extent.rs` | a large object of libpmemobj's, cut into granules of 4 KiB, with a table of its runs |
//! | `run.rs` | a run of granules, and the word of the table that tells of it |
//! | `free.rs` | free runs in DRAM: best fit, coalescing |
//! | `room/` | all granules of a pool: who may take which, what is kept back, which stretches are emptied |
//! | `page.rs` | a slab page: a run cut into slots of one size |
//! | `classes.rs` | the sizes of slots |
//! | `bitmaps.rs` | the words that tell which slots of a page are allocated |
//! | `windows.rs` | what lies where |
//! | `slab/` | all pages and large objects: which slots are free, which pages are emptied, walks over the objects of one kind |

mod bitmaps;
pub(crate) mod classes;
pub(crate) mod extent;
pub(crate) mod free;
pub(crate) mod page;
pub(crate) mod room;
pub(crate) mod run;
pub(crate) mod slab;
mod windows;
