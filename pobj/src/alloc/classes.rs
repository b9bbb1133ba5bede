//! Size classes: the slot sizes of slab pages.
//!
//! Objects above [`SMALL_MAX`] are runs of granules of their own. In a pool of format 1 there were
//! slots up to 130,816 bytes, on larger pages; those that are left are used on.
//!
//! Steps of 16 bytes up to 128, then four to eight steps a doubling, so that a slot wastes at most
//! an eighth (above 128 bytes), and the largest ones divide a page with little left over. Slots of
//! 64-byte multiples start on cache lines.

/// Slot sizes in bytes, ascending.
pub(crate) const SIZES: [u32; 60] = [
    16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384,
    416, 448, 480, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280, 1408, 1536, 1792,
    2048, 2304, 2560, 3072, 3584, 4096, 5120, 5888, 6528, 7232, 8128, 9280, 10880, 13056, 16320,
    21760, 32640, 40960, 49152, 65536, 81920, 104_704, 130_816,
];

/// The largest slot that is given out.
pub(crate) const SMALL_MAX: u32 = SIZES[COUNT as usize - 1];
/// Number of size classes that are given out.
pub(crate) const COUNT: u8 = 54;

/// The class of the smallest slot that holds `size` bytes; `None` above the largest.
#[inline]
pub(crate) fn class_of(size: u64) -> Option<u8> {
    if size <= 256 {
        return Some((size.max(1).div_ceil(16) - 1) as u8);
    }
    if size > u64::from(SMALL_MAX) {
        return None;
    }
    let given = &SIZES[..COUNT as usize];
    Some(given.partition_point(|&slot| u64::from(slot) < size) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT_MAX: u64 = SMALL_MAX as u64;

    #[test]
    fn every_size_gets_the_least_slot_that_holds_it() {
        for size in 1..=SLOT_MAX {
            let class = class_of(size).unwrap() as usize;
            assert!(u64::from(SIZES[class]) >= size, "{size}");
            assert!(class == 0 || u64::from(SIZES[class - 1]) < size, "{size}");
        }
        assert_eq!(class_of(0), Some(0));
        assert_eq!(class_of(SLOT_MAX + 1), None);
    }

    #[test]
    fn slots_waste_little() {
        for pair in SIZES
            .windows(2)
            .filter(|pair| pair[0] >= 128 && pair[1] <= 2048)
        {
            assert!(pair[1] - pair[0] <= pair[1] / 6, "{pair:?}");
        }
        assert!(SIZES.iter().all(|size| size % 16 == 0));
    }
}
