//! What lies where: for each stretch of the pool, the slab page or large object there.
//!
//! Invariants
//! * Pages and large objects have at least as many bytes as a window, so at most one of them starts
//!   in each, and one that covers a window's start also starts in, or covers the start of, the
//!   window before.
//! * A window tells of the one that starts in it, else of the one that covers its start.
//!
//! Cost: 12 bytes of DRAM a window. A look-up is O(1); entering and leaving are O(windows covered).

use super::page::PAGE_LEN_MIN;

/// Bytes of a window.
pub(super) const WINDOW: u64 = 32 << 10;
const _: () = assert!(PAGE_LEN_MIN > WINDOW);

/// Set in the number of a large object, to tell it from a page's.
const LARGE: u32 = 1 << 31;
const NOBODY: u32 = u32::MAX;

/// Who lies in a window, and where, relative to the window's start.
#[derive(Clone, Copy)]
struct Window {
    holder: u32,
    /// Where the slots of a page begin; of a large object, which has none, the greatest number.
    from: i32,
    /// Where it ends.
    to: i32,
}

impl Window {
    const EMPTY: Window = Window {
        holder: NOBODY,
        from: i32::MAX,
        to: i32::MIN,
    };

    /// Whether the slots of its page contain `len` bytes at `at`.
    #[inline]
    fn covers(&self, at: i64, len: i64) -> bool {
        at >= i64::from(self.from) && at + len <= i64::from(self.to)
    }

    /// The same holder, as the window behind tells of it.
    fn behind(self) -> Window {
        let shifted = |at: i32| match at {
            i32::MAX => i32::MAX,
            at => at.saturating_sub(WINDOW as i32),
        };
        Window {
            holder: self.holder,
            from: shifted(self.from),
            to: shifted(self.to),
        }
    }
}

/// A page or a large object, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Page(u32),
    Large(u32),
}

impl Holder {
    fn encoded(self) -> u32 {
        match self {
            Holder::Page(id) => id,
            Holder::Large(id) => id | LARGE,
        }
    }

    #[inline]
    fn decoded(holder: u32) -> Option<Holder> {
        match holder {
            NOBODY => None,
            page if page & LARGE == 0 => Some(Holder::Page(page)),
            large => Some(Holder::Large(large & !LARGE)),
        }
    }
}

/// The windows of a pool.
pub(super) struct Windows(Vec<Window>);

impl Windows {
    /// Those of a pool of `len` bytes, all empty.
    pub(super) fn new(len: u64) -> Windows {
        Windows(vec![Window::EMPTY; len.div_ceil(WINDOW) as usize])
    }

    /// The pool has `len` bytes from now on.
    pub(super) fn grow(&mut self, len: u64) {
        let windows = (len.div_ceil(WINDOW) as usize).max(self.0.len());
        self.0.resize(windows, Window::EMPTY);
    }

    /// Enters who lies from `start` to `end`: in the window it starts in, and where nobody else
    /// starts in the others. Of a page, `slots` is where these begin.
    pub(super) fn enter(&mut self, holder: Holder, start: u64, end: u64, slots: Option<u64>) {
        let first = (start / WINDOW) as usize;
        let last = (end.div_ceil(WINDOW) as usize).min(self.0.len());
        let windows = self.0.get_mut(first..last).unwrap_or_default();
        let (mut is_first, mut at) = (true, first as u64 * WINDOW);
        for window in windows {
            if is_first || window.holder == NOBODY {
                let from = |slots: u64| (slots as i64 - at as i64).max(i64::from(i32::MIN)) as i32;
                *window = Window {
                    holder: holder.encoded(),
                    from: slots.map_or(i32::MAX, from),
                    to: (end - at).min(i32::MAX as u64) as i32,
                };
            }
            is_first = false;
            at += WINDOW;
        }
    }

    /// Takes out again who starts at `start`: what tells of it, from there on, lies together.
    #[inline]
    pub(super) fn leave(&mut self, holder: Holder, start: u64) {
        let first = (start / WINDOW) as usize;
        let holder = holder.encoded();
        let windows = self.0.get_mut(first..).unwrap_or_default();
        for window in windows.iter_mut() {
            if window.holder != holder {
                break;
            }
            *window = Window::EMPTY;
        }
        // The one before may reach into the window where this one started.
        if let Some(&before) = first.checked_sub(1).and_then(|before| self.0.get(before))
            && i64::from(before.to) > WINDOW as i64
        {
            self.0[first] = before.behind();
        }
    }

    /// The page whose slots contain `len` bytes at `offset`.
    #[inline]
    pub(crate) fn page_of(&self, offset: u64, len: u64) -> Option<u32> {
        let (window, at) = ((offset / WINDOW) as usize, (offset % WINDOW) as i64);
        let len = len.min(u64::from(u32::MAX)) as i64;
        let here = self.0.get(window)?;
        if here.covers(at, len) {
            return Some(here.holder);
        }
        let before = self.0.get(window.wrapping_sub(1))?;
        before
            .covers(at + WINDOW as i64, len)
            .then_some(before.holder)
    }

    /// Who starts in the window of `offset`, or covers its start.
    #[inline]
    pub(super) fn holder(&self, offset: u64) -> Option<Holder> {
        Holder::decoded(self.0.get((offset / WINDOW) as usize)?.holder)
    }

    /// The large objects of which one contains `offset`, if any does.
    pub(crate) fn large_around(&self, offset: u64) -> impl Iterator<Item = u32> {
        let window = (offset / WINDOW) as usize;
        let windows = [Some(window), window.checked_sub(1)];
        let windows = windows.into_iter().flatten();
        windows.filter_map(|window| match Holder::decoded(self.0.get(window)?.holder) {
            Some(Holder::Large(id)) => Some(id),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_of_who_starts_in_it_else_of_who_covers_its_start() {
        let mut windows = Windows::new(8 * WINDOW);
        let (page, large, next) = (Holder::Page(3), Holder::Large(3), Holder::Page(4));
        windows.enter(page, 100, 100 + 2 * WINDOW, Some(228));
        windows.enter(large, 100 + 2 * WINDOW, 100 + 5 * WINDOW, None);
        windows.enter(
            next,
            100 + 5 * WINDOW,
            100 + 7 * WINDOW,
            Some(5 * WINDOW + 228),
        );
        let holders = |windows: &Windows| {
            let all = (0..8).map(|window| windows.holder(window * WINDOW));
            all.collect::<Vec<_>>()
        };
        let all = [page, page, large, large, large, next, next, next].map(Some);
        assert_eq!(holders(&windows), all);
        // The last bytes of each lie in a window that tells of the next.
        assert_eq!(windows.page_of(2 * WINDOW + 99, 1), Some(3));
        assert_eq!(windows.page_of(2 * WINDOW + 99, 2), None);
        let around: Vec<u32> = windows.large_around(5 * WINDOW + 99).collect();
        assert_eq!(around, [3]);
        windows.leave(large, 100 + 2 * WINDOW);
        let without = [
            Some(page),
            Some(page),
            Some(page),
            None,
            None,
            Some(next),
            Some(next),
            Some(next),
        ];
        assert_eq!(holders(&windows), without);
        assert_eq!(windows.page_of(2 * WINDOW + 99, 1), Some(3));
        windows.enter(large, 100 + 2 * WINDOW, 100 + 5 * WINDOW, None);
        windows.leave(next, 100 + 5 * WINDOW);
        assert_eq!(
            windows.holder(5 * WINDOW),
            Some(large),
            "it covers the start"
        );
        windows.leave(page, 100);
        let without = [
            None,
            None,
            Some(large),
            Some(large),
            Some(large),
            Some(large),
            None,
            None,
        ];
        assert_eq!(holders(&windows), without);
    }

    #[test]
    fn objects_may_be_longer_than_a_window_can_say() {
        const LEN: u64 = 3 << 30;
        let mut windows = Windows::new(LEN + 2 * WINDOW);
        windows.enter(Holder::Large(0), WINDOW, WINDOW + LEN, None);
        for offset in [WINDOW, LEN / 2, LEN + WINDOW - 1] {
            assert_eq!(windows.holder(offset), Some(Holder::Large(0)), "{offset}");
            assert_eq!(windows.page_of(offset, 1), None);
        }
        assert_eq!(windows.holder(LEN + WINDOW), None);
        windows.leave(Holder::Large(0), WINDOW);
        assert_eq!(windows.holder(LEN / 2), None);
    }
}
