//! One table per type. A type's table lists its own commands and takes the shared groups of
//! [`generic`] beside them.

mod bitmap;
mod field_expiry;
pub mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod keys;
mod list;
mod newer;
mod set;
mod sort;
mod string;
mod zset;

pub use bitmap::BITMAP;
pub use field_expiry::FIELD_EXPIRY;
pub use geo::GEO;
pub use hash::HASH;
pub use hyperloglog::HYPERLOGLOG;
pub use keys::{KEYS, PREFIXED_KEYS};
pub use list::LIST;
pub use set::SET;
pub use sort::SORT;
pub use string::STRING;
pub use zset::{ZSET, ZSET_LEX, ZSET_SMALL};
