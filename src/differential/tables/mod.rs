//! One table per type. A type's table lists its own commands and takes the shared groups of
//! [`generic`] beside them.

pub mod generic;
mod hash;
mod list;
mod set;
mod sort;
mod string;
mod zset;

pub use hash::HASH;
pub use list::LIST;
pub use set::SET;
pub use sort::SORT;
pub use string::STRING;
pub use zset::{ZSET, ZSET_LEX, ZSET_SMALL};
