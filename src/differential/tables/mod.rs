//! One table per type. A type's table lists its own commands and takes the shared groups of
//! [`generic`] beside them.

pub mod generic;
mod list;
mod string;

pub use list::LIST;
pub use string::STRING;
