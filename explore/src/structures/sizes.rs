//! How many elements make a difference, and their names: common to hashes, sets and sorted sets.

use fastrand::Rng;
use store::structures::limits::Limits;

/// Elements of a new value: none; nearly too many for a packed one; a table about to split or merge
/// a bucket, to double its directory's top; and one about to get a level of directory pages.
pub(crate) fn of_table<const COUNT: usize, const LEN: usize>(
    rng: &mut Rng,
    packed: Limits<COUNT, LEN>,
) -> usize {
    let most = packed.elements() as usize;
    match rng.u32(..16) {
        0..2 => 0,
        2..7 => rng.usize(most - 8..=most),
        7..9 => rng.usize(most + 1..most + 32),
        9..12 => 16 * *rng.choice(&[16, 32, 64]).expect("not empty") - rng.usize(..4),
        12..15 => rng.usize(300..2000),
        _ => 16 * 512 - rng.usize(..30),
    }
}

/// The name of element `n`, short enough for packed forms.
pub(super) fn name(n: usize) -> Vec<u8> {
    format!("element:{n}").into_bytes()
}

/// The name of an element of a value of `len`, there or not; sometimes too long for a packed form,
/// unless it is to be `packable`.
pub(crate) fn any_name(rng: &mut Rng, len: usize, packable: bool) -> Vec<u8> {
    let n = rng.usize(..len + len / 4 + 20);
    let mut name = name(n);
    if !packable && n % 7 == 3 {
        name.resize(64 + n % 100, b'x');
    }
    name
}

/// Some of these names, or others: one, a few, or a good part.
pub(crate) fn some_names<'a>(
    rng: &mut Rng,
    names: impl ExactSizeIterator<Item = &'a Vec<u8>>,
) -> Vec<Vec<u8>> {
    let len = names.len();
    let count = match rng.u32(..6) {
        0..3 => 1,
        3 => len.min(200),
        _ => rng.usize(1..40),
    };
    let from = rng.usize(..=len.saturating_sub(count));
    let mut some: Vec<_> = names.skip(from).take(count).cloned().collect();
    if rng.u8(..4) == 0 || some.is_empty() {
        some.push(b"not there".to_vec());
    }
    some
}
