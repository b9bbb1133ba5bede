//! What can happen to a pool's bytes.

use fastrand::Rng;

const LINE: usize = 64;
const PAGE: usize = 4096;
/// libpmemobj's header, descriptor and pool-wide words.
const HEAD: usize = 8192;
/// Where the word with the heap's offset is.
const HEAP_OFFSET_AT: usize = 4096 + 1024 + 16;
/// Bytes of the heap's header, the first zone's, and the chunk headers that a small pool uses.
const HEAP_HEAD: usize = 1024 + 64 + 8 * 128;
const CHUNK: usize = 256 << 10;
/// From the heap's start to its first chunk.
const CHUNKS_AT: usize = 1024 + (512 << 10);

/// One thing that was done to a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// A bit has turned.
    Flipped {
        /// Offset of the byte.
        at: usize,
        /// The bit's number.
        bit: u32,
    },
    /// A word holds something else.
    Replaced {
        /// Offset.
        at: usize,
        /// What it holds now.
        word: u64,
    },
    /// Bytes are zero.
    Zeroed {
        /// Offset.
        at: usize,
        /// Number of bytes.
        len: usize,
    },
    /// Two ranges have changed places.
    Swapped {
        /// Offset of one.
        a: usize,
        /// Offset of the other.
        b: usize,
        /// Bytes of each.
        len: usize,
    },
    /// The file ends earlier.
    Truncated {
        /// Its length now.
        len: usize,
    },
    /// The file's end is zeros.
    Blanked {
        /// Where they begin.
        from: usize,
    },
}

/// Harms a pool in one way or several, most of them where something is stored.
pub(super) fn some(pool: &mut Vec<u8>, rng: &mut Rng) -> Vec<Harm> {
    let count = if rng.u8(..3) == 0 { rng.usize(2..6) } else { 1 };
    (0..count).map(|_| one(pool, rng)).collect()
}

fn one(pool: &mut Vec<u8>, rng: &mut Rng) -> Harm {
    let at = place(pool, rng);
    let harm = match rng.u8(..20) {
        0..7 => Harm::Flipped {
            at,
            bit: rng.u32(..8),
        },
        7..12 => Harm::Replaced {
            at: at & !7,
            word: word(pool, rng),
        },
        12..16 => {
            let len = *rng.choice(&[8, LINE, PAGE, 16 * PAGE]).expect("not empty");
            Harm::Zeroed {
                at: at / len * len,
                len,
            }
        }
        16..19 => {
            let len = *rng
                .choice(&[8, LINE, PAGE, PAGE, CHUNK])
                .expect("not empty");
            let (a, b) = (at / len * len, place(pool, rng) / len * len);
            Harm::Swapped { a, b, len }
        }
        _ if rng.bool() => Harm::Truncated {
            len: rng.usize(..pool.len()) & !(*rng.choice(&[0, 63, 4095]).expect("not empty")),
        },
        _ => Harm::Blanked {
            from: rng.usize(..pool.len()) & !4095,
        },
    };
    inflict(pool, &harm);
    harm
}

/// Where harm is done: in libpmemobj's metadata, at the beginning of a chunk, or where there is
/// something.
fn place(pool: &[u8], rng: &mut Rng) -> usize {
    let heap = read(pool, HEAP_OFFSET_AT).min(pool.len() as u64) as usize;
    let (start, len) = match rng.u8(..10) {
        0 => (0, HEAD),
        1 => (HEAD, heap.saturating_sub(HEAD)),
        2 => (heap, HEAP_HEAD),
        3 => {
            let chunks = pool.len().saturating_sub(heap + CHUNKS_AT) / CHUNK;
            (heap + CHUNKS_AT + rng.usize(..chunks.max(1)) * CHUNK, 512)
        }
        _ => return something(pool, rng),
    };
    // An offset in the pool, whatever earlier harm has made of its numbers.
    (start + rng.usize(..len.max(1))) % pool.len().max(1)
}

/// Somewhere in a line that is not blank, seldom in one of nothing but text: that is what users
/// store.
fn something(pool: &[u8], rng: &mut Rng) -> usize {
    let lines = (pool.len() / LINE).max(1);
    let mut found = 0;
    let may_be_text = rng.u8(..8) == 0;
    let is_dull = |&line: &usize| {
        let bytes = &pool[line * LINE..pool.len().min((line + 1) * LINE)];
        let all = |test: fn(&u8) -> bool| bytes.iter().all(test);
        all(|&byte| byte == 0)
            || all(|&byte| byte == u8::MAX)
            || !may_be_text && all(|byte| (b' '..=b'~').contains(byte))
    };
    for _ in 0..10_000 {
        found = rng.usize(..lines);
        if !is_dull(&found) {
            break;
        }
    }
    (found * LINE + rng.usize(..LINE)) % pool.len().max(1)
}

/// A word that confuses: one of the pool's own, an offset, a count.
fn word(pool: &[u8], rng: &mut Rng) -> u64 {
    match rng.u8(..6) {
        0..3 => read(pool, something(pool, rng) & !7),
        3 => rng.u64(..pool.len() as u64 + 4096) & !7,
        4 => *rng
            .choice(&[
                0,
                1,
                u64::MAX,
                i64::MAX as u64,
                1 << 32,
                1 << 48,
                0xffff_ffff,
            ])
            .expect("not empty"),
        _ => rng.u64(..),
    }
}

fn read(pool: &[u8], at: usize) -> u64 {
    let bytes = pool.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn inflict(pool: &mut Vec<u8>, harm: &Harm) {
    let end = |at: usize, len: usize| (at + len).min(pool.len());
    match *harm {
        Harm::Flipped { at, bit } => {
            if let Some(byte) = pool.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Harm::Replaced { at, word } => {
            if let Some(bytes) = pool.get_mut(at..at + 8) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        Harm::Zeroed { at, len } => {
            let end = end(at, len);
            pool[at.min(end)..end].fill(0);
        }
        Harm::Swapped { a, b, len } => {
            let len = len.min(pool.len().saturating_sub(a.max(b)));
            for nth in 0..len {
                pool.swap(a + nth, b + nth);
            }
        }
        Harm::Truncated { len } => pool.truncate(len),
        Harm::Blanked { from } => pool[from..].fill(0),
    }
}
