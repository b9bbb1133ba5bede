//! The smallest of many, in order, as Redis's own partial sort leaves them.
//!
//! Where elements compare as equal, which of them come first depends on the algorithm, and clients
//! can see it. Redis uses the quicksort of Bentley and McIlroy ("Engineering a Sort Function",
//! 1993), which looks only into the parts that it is asked for. This is that algorithm: the same
//! pivots, the same exchanges, where the standard library's choose others.

use std::cmp::Ordering;

/// Parts shorter than this are sorted by insertion.
const INSERTION_MAX: usize = 7;
/// From this length on, the pivot is a median of medians.
const NINTHER_MIN: usize = 41;

/// Puts the `count` smallest elements in order at the front. The rest follows in no order. O(n) and
/// O(count log count) on average.
pub fn partial_sort<T>(items: &mut [T], count: usize, compare: impl Fn(&T, &T) -> Ordering) {
    sort(items, count, &compare);
}

fn sort<T>(mut items: &mut [T], mut count: usize, compare: &impl Fn(&T, &T) -> Ordering) {
    while count > 0 {
        let n = items.len();
        if n < INSERTION_MAX {
            return insertion_sort(items, compare);
        }
        items.swap(0, pivot(items, compare));
        let (below, above) = partition(items, compare);
        if below > 1 {
            sort(&mut items[..below], count, compare);
        }
        if above < 2 {
            return;
        }
        // The part above may lie behind what is asked for.
        count = count.saturating_sub(n - above);
        items = &mut items[n - above..];
    }
}

fn insertion_sort<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        for at in (1..=end).rev() {
            if compare(&items[at - 1], &items[at]).is_le() {
                break;
            }
            items.swap(at - 1, at);
        }
    }
}

/// The index of the pivot of at least seven items.
fn pivot<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let n = items.len();
    let median = |a, b, c| median(items, [a, b, c], compare);
    let (first, middle, last) = (0, n / 2, n - 1);
    match n {
        INSERTION_MAX => middle,
        NINTHER_MIN.. => {
            let d = n / 8;
            median(
                median(first, first + d, first + 2 * d),
                median(middle - d, middle, middle + d),
                median(last - 2 * d, last - d, last),
            )
        }
        _ => median(first, middle, last),
    }
}

fn median<T>(items: &[T], [a, b, c]: [usize; 3], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let less = |x: usize, y: usize| compare(&items[x], &items[y]).is_lt();
    if less(a, b) {
        if less(b, c) {
            b
        } else if less(a, c) {
            c
        } else {
            a
        }
    } else if compare(&items[b], &items[c]).is_gt() {
        b
    } else if less(a, c) {
        a
    } else {
        c
    }
}

/// Parts the items by the first of them: gives how many are less, at the front, and how many are
/// greater, at the end.
fn partition<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    let n = items.len();
    // Equal ones are collected at both ends: before `a`, and from `d` on. In between, what is
    // before `b` is less, and what is from `c` on is greater.
    let (mut a, mut b, mut c, mut d) = (1, 1, n, n);
    loop {
        while b < c {
            match compare(&items[b], &items[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    items.swap(a, b);
                    a += 1;
                }
                Ordering::Less => {}
            }
            b += 1;
        }
        while b < c {
            match compare(&items[c - 1], &items[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    d -= 1;
                    items.swap(c - 1, d);
                }
                Ordering::Greater => {}
            }
            c -= 1;
        }
        if b >= c {
            break;
        }
        items.swap(b, c - 1);
        b += 1;
        c -= 1;
    }
    let (below, above) = (b - a, d - c);
    exchange(items, 0, b, a.min(below));
    exchange(items, b, n, above.min(n - d));
    (below, above)
}

/// Swaps the `count` items from `first` on with those that end before `end`.
fn exchange<T>(items: &mut [T], first: usize, end: usize, count: usize) {
    for i in 0..count {
        items.swap(first + i, end - count + i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_at_the_front_and_nothing_is_lost() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..3000 {
            let n = rng.usize(..200);
            let kinds = rng.u32(1..50);
            let items: Vec<u32> = (0..n).map(|_| rng.u32(..kinds)).collect();
            let count = rng.usize(..=n);
            let mut sorted = items.clone();
            sorted.sort_unstable();
            let mut partly = items.clone();
            partial_sort(&mut partly, count, u32::cmp);
            assert_eq!(partly[..count], sorted[..count], "{count} of {items:?}");
            partly.sort_unstable();
            assert_eq!(partly, sorted);
        }
    }
}
