//! Small-object allocation: size classes, slab pages, and the allocator over them.

pub(crate) mod classes;
pub(crate) mod evacuation;
pub(crate) mod page;
pub(crate) mod slab;
