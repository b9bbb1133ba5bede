//! A step in a group for which the undo log finds no room.

use super::{DATA, Place};
use pobj::{Durability, Error, PPtr, Pool, Tx};
use std::fs;

/// An object of zeros, made of the reserve if there is nothing else.
fn object(pool: &mut Pool, len: u64) -> Option<PPtr<u8>> {
    let mut tx = pool.begin();
    tx.removes();
    let object = tx.alloc(len, DATA).ok()?;
    tx.fill_zeros(object, len).unwrap();
    tx.commit().unwrap();
    Some(object.ptr())
}

/// Overwrites an object in a step of its own.
fn step(tx: &mut Tx<'_>, at: PPtr<u8>, len: u64, byte: u8) -> pobj::Result<()> {
    tx.write(at, &vec![byte; len as usize])?;
    tx.step()
}

/// A copy of the pool and its journal, as the death of the process at this moment leaves them.
fn death(pool: &mut Pool, place: &Place) -> Place {
    pool.sync().unwrap();
    let copy = Place::new();
    let from = place.path();
    for entry in fs::read_dir(from.parent().unwrap()).unwrap() {
        let file = entry.unwrap().path();
        let to = copy.path().with_file_name(file.file_name().unwrap());
        fs::copy(&file, to).unwrap();
    }
    copy
}

/// A group's first transaction changes an object in a step, and fails in another for which the undo
/// log has some room, and too little; what was the object's is there when the process dies then,
/// and after other steps of the group.
pub(crate) fn a_step_without_room(durability: Durability) {
    const LEN: u64 = 96 << 10;
    let place = Place::new();
    let options = place.options().durability(durability).size(16 << 20);
    let mut pool = Pool::open(&options).unwrap();
    let objects = [(); 2].map(|()| object(&mut pool, LEN).unwrap());
    // Of a further segment's least length.
    let spare = object(&mut pool, 32 << 10).unwrap();
    for len in [1 << 20, 256 << 10, 64 << 10, 32 << 10] {
        while object(&mut pool, len).is_some() {}
    }
    let mut tx = pool.begin();
    tx.free(spare).unwrap();
    tx.commit().unwrap();

    pool.begin_group();
    let mut tx = pool.begin();
    step(&mut tx, objects[0], LEN, 1).unwrap();
    step(&mut tx, objects[1], LEN, 1).unwrap();
    let refused = step(&mut tx, objects[0], LEN, 2);
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    drop(tx);
    let taken_back = death(&mut pool, &place);
    let mut tx = pool.begin();
    step(&mut tx, objects[1], LEN / 2, 3).unwrap();
    tx.commit().unwrap();
    let gone_on = death(&mut pool, &place);
    pool.roll_back_group().unwrap();
    pool.end_group().unwrap();
    // Of two pools with one identity, a process opens one at a time.
    drop(pool);
    for (when, place) in [
        ("a transaction was taken back", taken_back),
        ("the group went on", gone_on),
        ("the group was taken back", place),
    ] {
        let pool = Pool::open(&place.options().durability(durability)).unwrap();
        let found = objects.map(|object| pool.bytes(object, LEN).unwrap());
        let wrong = found.map(|bytes| bytes.iter().filter(|&&byte| byte != 0).count());
        assert_eq!(wrong, [0; 2], "{durability:?}, {when}");
    }
}
