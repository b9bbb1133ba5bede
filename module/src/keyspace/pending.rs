//! What one callback of the server leaves for the next.
//!
//! The server tells of one thing in several callbacks, none of which knows all of it: of a value
//! that goes, `unlink` has the name and `free` comes when it is gone; of a key that is loaded, the
//! callback that makes its value does not know whether the key comes to be. Each of these is left
//! by one callback, or by the command that makes the server call, and taken by the one that follows
//! at once.

use super::aof::Leaving;

/// What is left for the callbacks that follow.
#[derive(Default)]
pub(crate) struct Pending {
    /// From a command of ours to `free`: it has freed this record itself.
    freed: Option<usize>,
    /// From `unlink` to `free`: the key whose value goes, if an AOF may have to know.
    leaving: Option<Leaving>,
    /// From `rdb_load` to the event of the key: it is the marker of a PM key in an AOF.
    is_marker: bool,
    /// From a command of ours to `copy`, and from that to its end.
    copying: Copying,
    /// From the begin of a flush, or of what else is done to all keys, to its end: the keys that
    /// `free` is called for have ended in the pool.
    keys_have_ended: bool,
}

/// Who has the server copy keys, and how that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copying {
    /// Nobody, or a command of the server's, which does not tell why it has failed.
    #[default]
    Unseen,
    /// A command of ours, which tells itself of a failure.
    Ours,
    /// The same, and there was no room for the last copy.
    OursLackedRoom,
}

impl Pending {
    /// A command of ours has freed this record, if any, and lets the server say so.
    #[inline]
    pub(super) fn leave_freed(&mut self, record: Option<usize>) {
        self.freed = record;
    }

    /// Whether a command has freed the record at this address already.
    pub(super) fn take_freed(&mut self, addr: usize) -> bool {
        let was_freed = self.freed == Some(addr);
        if was_freed {
            self.freed = None;
        }
        was_freed
    }

    /// Redis is about to let go of a value.
    pub(super) fn leave_leaving(&mut self, leaving: Option<Leaving>) {
        self.leaving = leaving;
    }

    /// What was said of the value at this address, which is being freed.
    pub(super) fn take_leaving(&mut self, addr: usize) -> Option<Leaving> {
        self.leaving.take().filter(|leaving| leaving.addr == addr)
    }

    /// A key of a file got a placeholder; whether it is a marker.
    pub(super) fn leave_marker(&mut self, is_marker: bool) {
        self.is_marker = is_marker;
    }

    /// Whether the key that has come to be is a marker.
    pub(super) fn take_marker(&mut self) -> bool {
        std::mem::take(&mut self.is_marker)
    }

    /// A command of ours has the server copy keys, which tells itself of a failure; or it has
    /// ended.
    pub(super) fn note_copying(&mut self, copies: bool) {
        self.copying = if copies {
            Copying::Ours
        } else {
            Copying::Unseen
        };
    }

    /// A copy was made, or found no room: whether that is for nobody else to tell.
    pub(super) fn leave_copy(&mut self, lacked_room: bool) -> bool {
        self.copying = match self.copying {
            Copying::Unseen => return lacked_room,
            _ if lacked_room => Copying::OursLackedRoom,
            _ => Copying::Ours,
        };
        false
    }

    /// Whether the last copy that a command of ours has had made found no room.
    pub(super) fn lacked_room(&self) -> bool {
        self.copying == Copying::OursLackedRoom
    }

    /// The keys that Redis frees from now on have ended in the pool, or not.
    pub(super) fn end_keys(&mut self, have_ended: bool) {
        self.keys_have_ended = have_ended;
    }

    /// Redis is freeing keys that a flush has ended already, or that were not there before a group
    /// that is taken back.
    pub(super) fn keys_have_ended(&self) -> bool {
        self.keys_have_ended
    }
}
