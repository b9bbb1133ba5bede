//! How far a journal has come, noted on the pool's file beside its content.
//!
//! The records that are left of a journal which is older, or whose end is lost, are whole: nothing
//! in it shows that others came after them. Replaying it would bring the file to an earlier moment
//! than it was acknowledged at, and put an end to the journal that belongs to it. So an extended
//! attribute of the pool's file, `MARK.journal`, has two words: the journal's id, and a position to
//! which its records have come, durably, at least. It is brought up to date now and then, not with
//! each record, and by the thread that writes, as a file system may let that wait.
//!
//! A copy of the file is without it, and whatever its journal has is replayed.

use crate::attribute;
use crate::identity::Layout;
use std::ffi::CString;
use std::fs::File;

/// A journal's id, and a position to which its records have come, durably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub id: u64,
    pub end: u64,
}

/// A pool's file, on which progress is noted.
pub(super) struct Noted {
    pub file: File,
    attribute: CString,
}

impl Noted {
    pub(super) fn new(file: File, layout: &Layout) -> Noted {
        let attribute = attribute_of(layout);
        Noted { file, attribute }
    }

    /// Notes how far the journal has come, if the file system can keep that.
    pub(super) fn note(&self, progress: Progress) {
        attribute::set(&self.file, &self.attribute, [progress.id, progress.end]);
    }
}

/// Whether the journal of that id is known to have come further than `end`, where its records end
/// now.
pub(super) fn is_beyond(file: &File, layout: &Layout, id: u64, end: u64) -> bool {
    let noted = attribute::get(file, &attribute_of(layout));
    noted.is_some_and(|[of, noted]| of == id && noted > end)
}

fn attribute_of(layout: &Layout) -> CString {
    let name = [layout.mark.to_bytes(), b".journal"].concat();
    CString::new(name).unwrap_or_default()
}
