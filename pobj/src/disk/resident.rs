//! Memory that the kernel cannot take back by itself, within a limit: so that a pool can be larger
//! than memory.
//!
//! A page of the private mapping that was changed is the process's own. It stays so though the
//! pool's file has had exactly its bytes since a checkpoint. Such pages are given back here:
//! dropped from memory, so that the next access finds the file's, which the kernel keeps in its
//! page cache as long as it has room, and reads again when it has not.
//!
//! Invariant: a page is given back only if the pool's file has exactly its bytes, durably. Those
//! are the process's own pages that are not stale (nothing of them has changed since they were
//! copied for a checkpoint), not among those that a checkpoint has copied and not synced yet, and
//! of which no change waits for a record.

use crate::images::PAGE;
use crate::images::changes::Pages;
use crate::medium::Medium;
use std::fs::File;

/// Pages that are looked for at a time.
const RUN_MAX: u64 = 256;

/// The process's own pages of the pool.
pub(super) struct Resident {
    /// What they are.
    own: Pages,
    /// How many there may be.
    limit: u64,
    /// Where the next one to be given back is looked for: all have their turn.
    hand: u64,
    /// A page that is stored to beside the journal.
    kept: u64,
    /// Pages given back so far.
    given_back: u64,
    /// Why the kernel does not take pages back, since a page of which it did not.
    refused: Option<String>,
}

impl Resident {
    /// None yet, of a pool of `len` bytes, and at most `limit` bytes of them. The page at the
    /// offset `kept` always stays.
    pub(super) fn new(len: u64, limit: u64, kept: u64) -> Resident {
        Resident {
            own: Pages::new(len),
            limit: (limit / PAGE).max(1),
            hand: 0,
            kept: kept / PAGE,
            given_back: 0,
            refused: None,
        }
    }

    /// There may be `limit` bytes from here on.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = (limit / PAGE).max(1);
    }

    /// Why there can be more than the limit, if the kernel does not take pages back.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// A page has become the process's own.
    #[inline]
    pub(super) fn insert(&mut self, page: u64) {
        self.own.insert(page);
    }

    /// Bytes of the process's own pages.
    pub(super) fn bytes(&self) -> u64 {
        self.own.count() * PAGE
    }

    /// Bytes that there may be.
    pub(super) fn limit(&self) -> u64 {
        self.limit * PAGE
    }

    /// Bytes given back so far.
    pub(super) fn given_back(&self) -> u64 {
        self.given_back * PAGE
    }

    /// The part of the limit that so many pages are, which cannot be given back.
    pub(super) fn part(&self, pages: u64) -> f64 {
        pages as f64 / self.limit as f64
    }

    /// Gives pages back until they are no more than the limit, or only `stale` and `taken` ones are
    /// left. Only if no change waits for a record; `file` is the pool's. What the kernel does not
    /// take stays, and [`Resident::refused`] tells why; it is tried again when its turn comes.
    pub(crate) fn give_back(
        &mut self,
        medium: &mut Medium,
        stale: &Pages,
        taken: &Pages,
        file: &File,
    ) {
        let mut wrapped = false;
        while self.own.count() > self.limit {
            let Some(first) = self.own.next_without(self.hand, [stale, taken]) else {
                if std::mem::replace(&mut wrapped, true) {
                    return;
                }
                self.hand = 0;
                continue;
            };
            let most = RUN_MAX.min(self.own.count() - self.limit);
            let mut end = first;
            while end - first < most
                && end != self.kept
                && self.own.next_without(end, [stale, taken]) == Some(end)
            {
                end += 1;
            }
            self.hand = end.max(first + 1);
            if first == end {
                continue;
            }
            check(medium, first..end, file);
            if let Err(error) = medium.drop_private(first * PAGE, (end - first) * PAGE) {
                self.refused = Some(error.to_string());
                return;
            }
            self.refused = None;
            for page in first..end {
                self.own.remove(page);
            }
            self.given_back += end - first;
        }
    }
}

/// That the file has what is given back, in builds with assertions.
fn check(medium: &Medium, pages: std::ops::Range<u64>, file: &File) {
    if !cfg!(debug_assertions) {
        return;
    }
    for page in pages {
        let bytes = medium.bytes(page * PAGE, PAGE.min(medium.len() - page * PAGE));
        let bytes = bytes.expect("a page of the pool");
        let mut differs = Vec::new();
        super::foreign::differences(file, page, bytes, |line| differs.push(line))
            .expect("the pool's file can be read");
        assert!(
            differs.is_empty(),
            "the file lacks lines of a page that is given back: {differs:?}"
        );
    }
}
