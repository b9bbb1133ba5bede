//! Which register an element falls to, and the run that it shows there.

use super::REGISTERS;

/// Redis's own seed.
const SEED: u64 = 0xadc8_3b19;
/// The bits of a hash that choose the register.
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();

/// What one element says about one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// The register.
    pub index: usize,
    /// The zeros before the first one of the hash, and that one: 1 to 51.
    pub run: u8,
}

/// The sample that an element gives. O(length).
pub fn sample(element: &[u8]) -> Sample {
    let hash = murmur64a(element, SEED);
    // A bit above the highest ends the longest run.
    let rest = hash >> INDEX_BITS | 1 << (64 - INDEX_BITS);
    Sample {
        index: (hash % REGISTERS as u64) as usize,
        run: rest.trailing_zeros() as u8 + 1,
    }
}

/// MurmurHash2 in its 64-bit form, little-endian.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mix = |k: u64| {
        let k = k.wrapping_mul(M);
        (k ^ k >> R).wrapping_mul(M)
    };
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference implementation.
    #[test]
    fn hashes_are_those_of_murmur() {
        assert_eq!(murmur64a(b"", 0), 0);
        assert_eq!(murmur64a(b"hello", 0x9747_b28c), 0x3ab0_500e_3b0f_f825);
        let long = murmur64a(b"hello, world: 16", SEED);
        assert_eq!(long, 0x6998_aa41_16de_2d0f);
    }
}
