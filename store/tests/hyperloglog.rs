//! HyperLogLogs that are changed where they lie, against the same changes of their text in DRAM.

use pobj::{Durability, Error, Pool};
use store::hyperloglog::{self as hll, DENSE_LEN, REGISTERS, Sample};
use store::inline::Inline;
use store::layout::pool_at;
use store::record::{self, Creation};
use store::structures::string::{self, Value};
use store::structures::{Root, hyperloglog};
use store::value::ValueType;
use tempfile::TempDir;

fn pool() -> (TempDir, Pool) {
    let dir = tempfile::Builder::new()
        .prefix("pmedis-hyperloglog-")
        .tempdir_in("/dev/shm")
        .expect("a directory on tmpfs");
    let options = pool_at(dir.path().join("pool")).durability(Durability::Process);
    let pool = Pool::open(&options.size(16 << 20)).expect("the pool opens");
    (dir, pool)
}

/// A record with this string.
fn string(pool: &mut Pool, value: Value<'_>) -> (Root, Inline) {
    let mut tx = pool.begin();
    let of = (b"k".as_slice(), ValueType::String, Creation::NONE);
    let record = record::create(&mut tx, of, value.inline_len(), |tx, inline| {
        let mut root = Root::EMPTY;
        string::set(tx, &mut root, inline, value)?;
        Ok(root)
    });
    let record = record.unwrap();
    tx.commit().unwrap();
    let root = record::get(pool, record).unwrap().root;
    (root, record::inline(pool, record).unwrap())
}

fn text(pool: &Pool, root: Root, inline: Inline) -> Vec<u8> {
    let value = string::read(pool, root, inline).unwrap().expect("a string");
    value.text(&mut itoa::Buffer::new()).to_vec()
}

fn dense() -> Vec<u8> {
    let mut text = hll::empty();
    hll::make_dense(&mut text).expect("sound");
    text
}

#[test]
fn registers_rise_where_they_lie_all_or_none() {
    let (_dir, mut pool) = pool();
    let mut expected = dense();
    let (root, inline) = string(&mut pool, Value::Bytes(&expected));
    let mut random = fastrand::Rng::with_seed(19);
    for round in 0..400 {
        let first = random.usize(..REGISTERS);
        let mut samples: Vec<Sample> = (0..random.usize(1..128))
            .map(|_| Sample {
                // Now and then neighbours, the last one, the same one twice.
                index: match random.u8(..4) {
                    0 => random.usize(..REGISTERS),
                    1 => REGISTERS - 1,
                    _ => (first + random.usize(..40)) % REGISTERS,
                },
                run: random.u8(1..52),
            })
            .collect();
        samples.sort_unstable();
        let is_kept = random.bool();
        let mut tx = pool.begin();
        hyperloglog::raise(&mut tx, root, inline, &samples).unwrap();
        if is_kept {
            tx.commit().unwrap();
            for &sample in &samples {
                hll::raise(&mut expected, sample, 0).expect("sound");
            }
            hll::invalidate(&mut expected);
        } else {
            drop(tx);
        }
        assert!(text(&pool, root, inline) == expected, "round {round}");
        if random.u8(..3) == 0 {
            let count = hll::count(&expected).expect("sound");
            let mut tx = pool.begin();
            hyperloglog::keep_count(&mut tx, root, inline, count).unwrap();
            tx.commit().unwrap();
            let kept = text(&pool, root, inline);
            assert_eq!(hll::cached_count(&kept), Some(count), "round {round}");
            expected[8..16].copy_from_slice(&count.to_le_bytes());
            assert!(kept == expected, "round {round}");
        }
    }
}

#[test]
fn a_string_that_is_no_dense_one_is_left_as_it_is() {
    let (_dir, mut pool) = pool();
    let sample = hll::sample(b"element");
    let short = vec![b'x'; DENSE_LEN - 1];
    for value in [Value::Bytes(&short), Value::Bytes(b"HYLL"), Value::Int(7)] {
        let (root, inline) = string(&mut pool, value);
        let before = text(&pool, root, inline);
        let mut tx = pool.begin();
        let raised = hyperloglog::raise(&mut tx, root, inline, &[sample]);
        assert!(matches!(raised, Err(Error::Damaged(_))), "{raised:?}");
        if before.len() < 16 {
            let kept = hyperloglog::keep_count(&mut tx, root, inline, 1);
            assert!(matches!(kept, Err(Error::Damaged(_))), "{kept:?}");
        }
        tx.commit().unwrap();
        assert!(text(&pool, root, inline) == before);
    }
}
