//! What a batch has allocated, found again if the same batch frees it.
//!
//! Most batches allocate little: that is looked through. A batch of many objects (MSET) may free as
//! many others, each of which would be looked for among all that it has made: beyond [`SCAN_MAX`]
//! an index tells, which is made once a free asks for it. O(1) each on average.

use crate::alloc::run::Run;
use crate::alloc::slab::Slot;
use std::collections::HashMap;
use std::ops::Deref;

/// So many are looked through.
pub(super) const SCAN_MAX: usize = 32;

/// Something that is allocated, and the number by which it is known.
pub(super) trait Allocated: Copy {
    /// No two that are allocated at a time have the same.
    fn number(&self) -> u64;
}

impl Allocated for Slot {
    fn number(&self) -> u64 {
        u64::from(self.page) << 16 | u64::from(self.index)
    }
}

impl Allocated for Run {
    fn number(&self) -> u64 {
        self.offset
    }
}

/// What a batch has allocated, in no order.
pub(super) struct Made<T> {
    list: Vec<T>,
    /// Where in the list the first `indexed` are, by their numbers.
    places: HashMap<u64, usize>,
    indexed: usize,
    /// Elements that were looked at.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

impl<T> Default for Made<T> {
    fn default() -> Made<T> {
        Made {
            list: Vec::new(),
            places: HashMap::new(),
            indexed: 0,
            #[cfg(test)]
            looks: Default::default(),
        }
    }
}

impl<T> Deref for Made<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T> Made<T> {
    #[inline]
    pub(super) fn push(&mut self, made: T) {
        self.list.push(made);
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.forget_index();
    }

    /// Takes all of them out, and keeps the room.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.forget_index();
        self.list.drain(..)
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Vec<T> {
        self.forget_index();
        std::mem::take(&mut self.list)
    }

    #[inline]
    fn forget_index(&mut self) {
        if self.indexed > 0 {
            (self.places, self.indexed) = (HashMap::new(), 0);
        }
    }
}

impl<T: Allocated> Made<T> {
    /// Where what has this number is, if it is here.
    #[inline]
    pub(super) fn place(&mut self, number: u64) -> Option<usize> {
        if self.list.len() > SCAN_MAX {
            return self.indexed_place(number);
        }
        #[cfg(test)]
        self.looks.set(self.looks.get() + self.list.len());
        self.list.iter().position(|made| made.number() == number)
    }

    #[cold]
    fn indexed_place(&mut self, number: u64) -> Option<usize> {
        for (place, made) in self.list.iter().enumerate().skip(self.indexed) {
            #[cfg(test)]
            self.looks.set(self.looks.get() + 1);
            self.places.insert(made.number(), place);
        }
        self.indexed = self.list.len();
        self.places.get(&number).copied()
    }

    /// Takes what is at a place out.
    pub(super) fn remove(&mut self, place: usize) {
        let gone = self.list.swap_remove(place);
        if self.indexed == 0 {
            return;
        }
        if self.indexed <= self.list.len() {
            // Something was added since, and the few that there are were looked through.
            return self.forget_index();
        }
        self.places.remove(&gone.number());
        if let Some(moved) = self.list.get(place) {
            self.places.insert(moved.number(), place);
        }
        self.indexed = self.list.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(n: u32) -> Slot {
        Slot {
            page: n / 100,
            index: (n % 100) as u16,
        }
    }

    fn find(made: &mut Made<Slot>, n: u32) -> Option<usize> {
        made.place(slot(n).number())
    }

    /// As many are freed as are made, between which others are made: each is looked at a few times.
    #[test]
    fn a_batch_of_many_does_not_look_at_all_of_them_for_each() {
        const MANY: u32 = 10_000;
        let mut made = Made::default();
        for n in 0..MANY {
            made.push(slot(n));
            assert_eq!(find(&mut made, MANY + n), None);
        }
        for n in 0..MANY {
            let place = find(&mut made, n).unwrap();
            assert_eq!(made[place], slot(n));
            made.remove(place);
            assert_eq!(find(&mut made, n), None);
        }
        assert!(made.is_empty());
        let looks = made.looks.get();
        let few = SCAN_MAX * SCAN_MAX * 4;
        assert!(looks <= 2 * MANY as usize + few, "{looks} looks");
    }

    #[test]
    fn what_is_found_is_what_was_made_and_is_not_freed_again() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let (mut made, mut model) = (Made::default(), Vec::new());
            for _ in 0..rng.usize(..600) {
                let n = rng.u32(..100);
                let known = model.contains(&n);
                match rng.u32(..3) {
                    0 if !known => {
                        made.push(slot(n));
                        model.push(n);
                    }
                    1 => {
                        let place = find(&mut made, n);
                        assert_eq!(place.map(|place| made[place]), known.then(|| slot(n)));
                        if let Some(place) = place {
                            made.remove(place);
                            model.retain(|&other| other != n);
                        }
                    }
                    _ => assert_eq!(find(&mut made, n).is_some(), known),
                }
                assert_eq!(made.len(), model.len());
            }
            made.clear();
            assert_eq!(find(&mut made, 1), None);
        }
    }
}
