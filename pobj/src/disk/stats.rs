//! Statistics of a pool's journal and checkpoints.

use super::Disk;
use crate::images::PAGE;

/// What is known of a pool's journal and checkpoints.
#[derive(Clone, Debug, Default)]
pub struct DiskStats {
    /// Bytes of the journal.
    pub journal_size: u64,
    /// Bytes of it that are needed.
    pub journal_used: u64,
    /// Position of the next record.
    pub lsn: u64,
    /// Records written since the pool was opened.
    pub syncs: u64,
    /// Those that took longer than 10 ms.
    pub slow_syncs: u64,
    /// Microseconds that the longest took.
    pub longest_sync_us: u64,
    /// Bytes of pages that the pool's file does not have as they are.
    pub dirty: u64,
    /// Bytes of pages that are this process's own, so that the kernel cannot take them back: the
    /// dirty ones, and others.
    pub resident: u64,
    /// Bytes of these that there may be.
    pub memory_limit: u64,
    /// Bytes of pages that were given back to the kernel.
    pub given_back: u64,
    /// Why the kernel does not take pages back, so that there can be more than the limit.
    pub not_given_back: Option<String>,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// A checkpoint is under way.
    pub checkpointing: bool,
    /// Seconds since the last one was complete; `None` if there was none.
    pub checkpoint_age: Option<u64>,
    /// Bytes that checkpoints have written.
    pub checkpoint_bytes: u64,
    /// How often writers were held up, as the disk is slower than they are.
    pub stalls: u64,
    /// Milliseconds that they were held up in all.
    pub stalled_ms: u64,
    /// Why nothing can be made durable.
    pub failure: Option<String>,
}

impl Disk {
    /// What is known now.
    pub(crate) fn stats(&self) -> DiskStats {
        let last = self.checkpoint.last;
        DiskStats {
            journal_size: self.journal.capacity(),
            journal_used: self.journal.used(),
            lsn: self.journal.tail(),
            dirty: self.stale.count() * PAGE,
            resident: self.resident.bytes(),
            memory_limit: self.resident.limit(),
            given_back: self.resident.given_back(),
            not_given_back: self.resident.refused().map(str::to_owned),
            checkpoints: self.checkpoint.count,
            checkpointing: !self.checkpoint.is_idle(),
            checkpoint_age: last.map(|last| last.elapsed().as_secs()),
            checkpoint_bytes: self.checkpoint.pages * PAGE,
            stalled_ms: self.stalled.as_millis() as u64,
            failure: self.failure.as_ref().map(|failure| failure.what.clone()),
            ..self.stats.clone()
        }
    }
}
