//! Whether a hash's root says that its fields may expire.

use super::{PACKED, PACKED_EXPIRING, Root, TABLE, TABLE_EXPIRING};

/// Whether the hash may have fields that expire. O(1).
#[inline]
pub fn may_expire(root: Root) -> bool {
    matches!(root.encoding(), PACKED_EXPIRING | TABLE_EXPIRING)
}

/// The root of the same hash, in which fields may expire from now on.
pub(super) fn with_expiry(root: Root) -> Root {
    let encoding = match root.encoding() {
        PACKED => PACKED_EXPIRING,
        TABLE => TABLE_EXPIRING,
        other => other,
    };
    Root::new(encoding, root.rest(), root.value)
}

/// The root of the same hash, of which it is known that no field expires. A packed one stays what
/// it is.
pub fn without_expiry(root: Root) -> Root {
    match root.encoding() {
        TABLE_EXPIRING => Root::new(TABLE, root.rest(), root.value),
        _ => root,
    }
}
