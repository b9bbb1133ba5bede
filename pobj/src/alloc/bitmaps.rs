//! The pages' bitmaps on media: the words that change when slots are allocated and freed.

use super::page::bitmap_word;
use super::slab::{Slab, Slot};
use crate::error::{Result, damaged};
use crate::log_record::Writes;
use crate::medium::Medium;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// So many slots and fewer change their bitmaps without a hash table.
const FEW: usize = 16;

impl Slab {
    /// Adds to `writes` the bitmap words after `allocs` and `frees`.
    ///
    /// # Errors
    /// `Damaged`, with nothing added, if a slot is freed twice: in this batch, or in its group
    /// before.
    pub(crate) fn bitmap_writes(
        &self,
        medium: &Medium,
        allocs: &[Slot],
        frees: &[Slot],
        writes: &mut Writes,
    ) -> Result<()> {
        let single = match (allocs, frees) {
            ([slot], []) => Some((slot, true)),
            ([], [slot]) => Some((slot, false)),
            _ => None,
        };
        if let Some((slot, set)) = single {
            let at = self.word_of(slot);
            let word = changed(medium.word(at)?, at, slot, set)?;
            writes.push(at, &word.to_le_bytes());
            return Ok(());
        }
        let changes = allocs
            .iter()
            .map(|slot| (slot, true))
            .chain(frees.iter().map(|slot| (slot, false)));
        if allocs.len() + frees.len() > FEW {
            return self.many_bitmap_writes(medium, changes, writes);
        }
        let mut words = [(0, 0); FEW];
        let mut used = 0;
        for (slot, set) in changes {
            let at = self.word_of(slot);
            let known = words[..used].iter().position(|&(known, _)| known == at);
            let index = match known {
                Some(index) => index,
                None => {
                    words[used] = (at, medium.word(at)?);
                    used += 1;
                    used - 1
                }
            };
            words[index].1 = changed(words[index].1, at, slot, set)?;
        }
        for (at, word) in &words[..used] {
            writes.push(*at, &word.to_le_bytes());
        }
        Ok(())
    }

    /// [`Slab::bitmap_writes`] for any number of slots.
    #[cold]
    fn many_bitmap_writes<'a>(
        &self,
        medium: &Medium,
        changes: impl Iterator<Item = (&'a Slot, bool)>,
        writes: &mut Writes,
    ) -> Result<()> {
        let mut words: Vec<(u64, u64)> = Vec::new();
        let mut places = HashMap::new();
        let mut place = 0;
        for (slot, set) in changes {
            let at = self.word_of(slot);
            // Mostly it is the word of the slot before: who allocates many gets neighbours.
            if words.get(place).is_none_or(|&(last, _)| last != at) {
                place = match places.entry(at) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(fresh) => {
                        words.push((at, medium.word(at)?));
                        *fresh.insert(words.len() - 1)
                    }
                };
            }
            let word = &mut words[place].1;
            *word = changed(*word, at, slot, set)?;
        }
        for (at, word) in words {
            writes.push(at, &word.to_le_bytes());
        }
        Ok(())
    }

    /// Where the word is whose bits tell of a slot.
    fn word_of(&self, slot: &Slot) -> u64 {
        bitmap_word(self.page(slot.page).offset, usize::from(slot.index / 64))
    }
}

/// The bitmap word at `at` after a slot of it was allocated (`set`) or freed.
fn changed(word: u64, at: u64, slot: &Slot, set: bool) -> Result<u64> {
    let bit = 1 << (slot.index % 64);
    if !set && word & bit == 0 {
        return Err(damaged("an object that is freed twice in page", at));
    }
    Ok(if set { word | bit } else { word & !bit })
}
