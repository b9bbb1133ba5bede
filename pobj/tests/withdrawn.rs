//! A new pool that is withdrawn takes its own files with it, and no other's.

mod common;

use common::Place;
use pobj::{Pool, PoolOptions};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

const SIZE: u64 = 16 << 20;

/// How a new pool can be made, and what of it lies where its name says.
fn ways(place: &Place) -> [(PoolOptions, Vec<PathBuf>); 2] {
    let mut parts = place.path().into_os_string();
    parts.push(".parts");
    let options = || place.options().size(SIZE);
    [
        (options(), vec![place.path()]),
        (
            options().max_size(2 * SIZE),
            vec![place.path(), PathBuf::from(parts)],
        ),
    ]
}

fn left(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path().parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn nothing_is_left() {
    for at in 0..2 {
        let place = Place::new();
        let (options, _) = &ways(&place)[at];
        let mut pool = Pool::open(options).unwrap();
        assert!(pool.withdraw());
        drop(pool);
        assert_eq!(left(&place), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_has_its_names_meanwhile_stays() {
    for at in 0..2 {
        let place = Place::new();
        let (options, names) = &ways(&place)[at];
        let mut pool = Pool::open(options).unwrap();
        for (number, name) in names.iter().enumerate() {
            fs::rename(name, place.path().with_extension(format!("moved-{number}"))).unwrap();
            fs::write(name, "another's").unwrap();
        }
        assert!(pool.withdraw());
        drop(pool);
        for name in names {
            let stays =
                fs::read(name).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            assert_eq!(stays, b"another's", "{}", name.display());
        }
    }
}

/// Two that make the same pool that grows write the same description: who comes too late leaves the
/// other's alone.
#[test]
fn a_pool_that_somebody_else_makes_stays() {
    let place = Place::new();
    let options = place.options().size(SIZE).max_size(2 * SIZE);
    let parts = &ways(&place)[1].1[1];
    fs::create_dir(parts).unwrap();
    let locked = fs::File::open(parts).unwrap();
    // SAFETY: locks an open file for as long as it stays open.
    assert_eq!(unsafe { libc::flock(locked.as_raw_fd(), libc::LOCK_EX) }, 0);
    let error = Pool::open(&options).err().expect("somebody makes it");
    assert!(matches!(error, pobj::Error::Locked(_)), "{error}");
    assert!(place.path().exists() && parts.exists());
}
