//! A fork child reads the pool as it was at the fork, while the parent changes all of it.

mod common;

use common::{DATA, Place};
use pobj::{PPtr, Pool};

const POOL: u64 = 64 << 20;
/// Sizes of the objects: words, slots, a slot of a big page, large objects.
const SIZES: [u64; 6] = [8, 100, 3000, 40_000, 300_000, 2_000_000];

fn content(len: u64, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ salt).collect()
}

fn create(pool: &mut Pool, salt: u8) -> Vec<(PPtr<u8>, u64)> {
    let mut objects = Vec::new();
    for len in SIZES.into_iter().cycle().take(24) {
        let mut tx = pool.begin();
        let ptr = tx.alloc(len, DATA).unwrap();
        tx.fill(ptr, &content(len, salt)).unwrap();
        tx.commit().unwrap();
        objects.push((ptr.ptr(), len));
    }
    objects
}

/// What the child does: every object must have the bytes of the fork, again and again, until the
/// parent closes its end of the pipe.
fn watch(pool: &mut Pool, objects: &[(PPtr<u8>, u64)], salt: u8, pipe: i32) -> i32 {
    pool.enter_snapshot();
    loop {
        for &(ptr, len) in objects {
            let Ok(bytes) = pool.bytes(ptr, len) else {
                return 2;
            };
            if bytes != content(len, salt) {
                return 1;
            }
            let word = pool.get::<u64>(ptr.cast()).map(|word| word.to_le_bytes());
            if word.ok().as_ref().map(|word| &word[..]) != Some(&content(8, salt)[..]) {
                return 3;
            }
        }
        pool.forget_copies();
        let mut byte = [0u8];
        // SAFETY: one byte into a buffer of one byte; the pipe is ours and does not block.
        if unsafe { libc::read(pipe, byte.as_mut_ptr().cast(), 1) } == 0 {
            return 0;
        }
    }
}

#[test]
fn a_child_sees_the_bytes_of_the_fork() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut objects = create(&mut pool, 0);
    // Twice: the second child must not see what was kept for the first.
    for salt in [0, 77] {
        let mut ends = [0; 2];
        // SAFETY: the array has room for the two ends.
        let failed = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) };
        assert_eq!(failed, 0);
        // SAFETY: the child only reads the pool and leaves with _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the child's own copies of the descriptors; _exit runs no destructor.
            unsafe {
                libc::close(ends[1]);
                libc::_exit(watch(&mut pool, &objects, salt, ends[0]));
            }
        }
        assert!(child > 0);
        pool.begin_snapshot();
        // In place, as groups, freed, and their memory used again.
        for &(ptr, len) in &objects {
            let mut tx = pool.begin();
            tx.write(ptr, &content(len, 13)).unwrap();
            tx.commit().unwrap();
        }
        for &(ptr, _) in &objects {
            let mut tx = pool.begin();
            tx.free(ptr).unwrap();
            tx.commit().unwrap();
        }
        pool.trim(usize::MAX).unwrap();
        objects = create(&mut pool, 77);
        for end in ends {
            // SAFETY: our own descriptor; closing the writing end tells the child to stop.
            assert_eq!(unsafe { libc::close(end) }, 0);
        }
        let mut status = 0;
        // SAFETY: waits for our own child, into a status of ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child saw other bytes (round {salt})");
        pool.end_snapshot();
    }
    for (ptr, len) in objects {
        assert_eq!(
            pool.bytes(ptr, len).unwrap(),
            content(len, 77),
            "the parent has its own bytes"
        );
    }
}
