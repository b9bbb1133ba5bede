//! A mapping that is private, as that of a pool with a journal: what has changed is noted, and
//! pages come from the pool's file and go back to the kernel.

use super::Medium;
use crate::error::{Error, Result};
use crate::images::PAGE;
use crate::images::buffer::Buffer;
use crate::images::changes::Changes;
use crate::images::record::push_page;
use crate::layout::LINE;
use crate::log_record::{Writes, first_write};
use std::cell::RefCell;

/// Out of line, as most pools have no journal.
#[inline(never)]
fn note_change(changes: &RefCell<Changes>, offset: u64, len: u64) {
    changes.borrow_mut().note(offset, len);
}

impl Medium {
    /// Notes from here on what changes, for a journal. The mapping is private.
    pub(crate) fn note_changes(&mut self) {
        self.changes = Some(RefCell::new(Changes::new(self.len)));
    }

    /// True if changes are noted.
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        self.changes.is_some()
    }

    /// Notes that `len` bytes at `offset`, inside the mapping, change.
    #[inline]
    pub(crate) fn note(&self, offset: u64, len: u64) {
        if let Some(changes) = &self.changes {
            note_change(changes, offset, len);
        }
    }

    /// True if something has changed since the last [`Medium::forget_changes`].
    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        let changes = self.changes.as_ref();
        changes.is_some_and(|changes| !changes.borrow().is_empty())
    }

    /// True if something waits for [`Medium::complete_commit`] or for a record of the journal.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        !self.snapshots.is_child() && (self.slow_path.get() || self.has_changed())
    }

    /// In how many pages something has changed since the last [`Medium::forget_changes`].
    pub(crate) fn pages_changed(&self) -> u64 {
        let changes = self.changes.as_ref();
        changes.map_or(0, |changes| changes.borrow().pages())
    }

    /// Makes a record of what has changed in the buffer.
    pub(crate) fn encode(&self, buffer: &mut Buffer) {
        buffer.begin_record();
        let Some(changes) = &self.changes else {
            return;
        };
        for (page, lines) in changes.borrow_mut().sorted() {
            push_page(buffer, page, lines);
            let mut rest = lines;
            while rest != 0 {
                // Neighbours go together.
                let from = u64::from(rest.trailing_zeros());
                let count = u64::from((rest >> from).trailing_ones());
                if let Ok(bytes) = self.bytes(page * PAGE + from * LINE, count * LINE) {
                    buffer.push(bytes);
                }
                rest &= u64::MAX.checked_shl((from + count) as u32).unwrap_or(0);
            }
        }
    }

    /// What has changed is in the journal: shows `forgotten` each page.
    pub(crate) fn forget_changes(&self, forgotten: impl FnMut(u64)) {
        if let Some(changes) = &self.changes {
            changes.borrow_mut().clear(forgotten);
        }
    }

    /// Puts the writes of a commit in place at once: there is no fence that they wait for. Empties
    /// `batch`.
    #[inline]
    pub(crate) fn place_commit(&mut self, batch: &mut Writes) {
        debug_assert!(self.is_noted());
        self.complete_commit();
        let mut rest = batch.encoded();
        while let Some((offset, bytes, after)) = first_write(rest) {
            let Some(at) = self.find(offset, bytes.len() as u64) else {
                break;
            };
            self.place(offset, at, bytes);
            rest = after;
        }
        debug_assert!(rest.len() < 8, "a batch takes writes into objects only");
        batch.clear();
    }

    /// Stores what the pool's file has at `offset` already.
    pub(crate) fn store_as_stored(&mut self, offset: u64, bytes: &[u8]) {
        let Ok(at) = self.check(offset, bytes.len() as u64) else {
            return;
        };
        self.complete_commit();
        self.snapshots.preserve(offset, bytes.len() as u64);
        // SAFETY: the target is in bounds; there is no reference into the pool, as this is `&mut
        // self`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    /// Drops this process's own copies of pages in whose place the file has the same bytes: the
    /// next access finds these. Only of a pool with a journal, and only of whole pages.
    ///
    /// # Errors
    /// `Io` if the kernel refuses.
    pub(crate) fn drop_private(&mut self, offset: u64, len: u64) -> Result<()> {
        let at = self.check(offset, len)?;
        // SAFETY: inside the mapping, which is private and of one file; no byte of it is another
        // after this, as the caller has seen to it, and there is no reference into the pool, as
        // this is `&mut self`.
        match unsafe { libc::madvise(at.cast(), len as usize, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(Error::Io(format!(
                "the kernel does not take pages back: {}",
                std::io::Error::last_os_error()
            ))),
        }
    }

    /// Has the kernel begin to read the pages of `len` bytes at `offset`, if they are not in
    /// memory.
    #[cold]
    pub(crate) fn read_ahead(&self, offset: u64, len: u64) {
        let first = offset / PAGE * PAGE;
        let end = offset.saturating_add(len).min(self.len);
        if let Some(at) = self.find(first, end.saturating_sub(first)) {
            // SAFETY: inside the mapping; a hint, which changes no byte.
            unsafe { libc::madvise(at.cast(), (end - first) as usize, libc::MADV_WILLNEED) };
        }
    }
}
