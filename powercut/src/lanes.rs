//! Makes libpmemobj pools cheap to open.
//!
//! A pool has 1,024 lanes, which bound how many operations can run at once. Setting them up takes
//! most of the time of opening a small pool (3.5 of 5 ms), and a workload on one thread uses one of
//! them. How many there are is written in the pool's descriptor, under a checksum; with fewer,
//! opening and recovery take the same path with less repetition.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the pool's descriptor begins.
const DESCRIPTOR: u64 = 4096;
const DESCRIPTOR_BYTES: usize = 2048;
/// Where in the descriptor the number of lanes is, 8 bytes, and the checksum, the last 8.
const LANES: usize = 1024 + 8;
const CHECKSUM: usize = DESCRIPTOR_BYTES - 8;

/// Gives the closed pool file `path` no more than `lanes` lanes.
///
/// # Errors
/// If the file cannot be changed, or is not a libpmemobj pool with a valid descriptor.
pub fn limit_lanes(path: &Path, lanes: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut descriptor = [0; DESCRIPTOR_BYTES];
    file.read_exact_at(&mut descriptor, DESCRIPTOR)?;
    if descriptor[CHECKSUM..] != checksum(&descriptor).to_le_bytes() {
        return Err(io::Error::other("not a pool, or its descriptor is damaged"));
    }
    let word = descriptor[LANES..LANES + 8].try_into().expect("8 bytes");
    let limited = lanes.min(u64::from_le_bytes(word));
    descriptor[LANES..LANES + 8].copy_from_slice(&limited.to_le_bytes());
    let checksum = checksum(&descriptor);
    descriptor[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&descriptor, DESCRIPTOR)
}

/// The checksum that a descriptor must have: Fletcher's, of 64 bits, with zeros in its own place.
fn checksum(descriptor: &[u8; DESCRIPTOR_BYTES]) -> u64 {
    let words = descriptor[..CHECKSUM].chunks(4).chain([&[0; 4][..]; 2]);
    let (low, high) = words.fold((0_u32, 0_u32), |(low, high), word| {
        let low = low.wrapping_add(u32::from_le_bytes(word.try_into().expect("4 bytes")));
        (low, high.wrapping_add(low))
    });
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_pool_is_refused_and_left_alone() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let bytes = vec![1; 8192];
        std::fs::write(file.path(), &bytes).expect("it is writable");
        let error = limit_lanes(file.path(), 8).expect_err("its checksum is wrong");
        assert!(error.to_string().starts_with("not a pool"), "{error}");
        assert_eq!(std::fs::read(file.path()).expect("it is readable"), bytes);
    }
}
