use super::*;

/// A HyperLogLog of so many elements.
fn filled(elements: u32, sparse_max: u64) -> Vec<u8> {
    let mut text = empty();
    for n in 0..elements {
        raise(&mut text, sample(&n.to_le_bytes()), sparse_max).expect("sound");
    }
    assert!(is_one(&text));
    text
}

fn registers(text: &[u8]) -> Box<Registers> {
    let mut registers = Box::new([0; REGISTERS]);
    merge(&mut registers, text).expect("sound");
    registers
}

#[test]
fn both_forms_hold_the_same_registers() {
    for elements in [0, 1, 10, 500, 3000, 20_000] {
        let dense = filled(elements, 0);
        let sparse = filled(elements, u64::MAX);
        assert_eq!(is_dense(&dense), elements > 0);
        assert!(!is_dense(&sparse), "no run of 33 zeros among these");
        assert!(registers(&dense) == registers(&sparse), "{elements}");
        assert_eq!(count(&dense), count(&sparse));
        assert_eq!(count(&dense), Ok(count_merged(&registers(&dense))));
        let mut turned = sparse.clone();
        make_dense(&mut turned).expect("sound");
        assert!(turned[HEADER_LEN..] == dense[HEADER_LEN..] || elements == 0);
    }
}

#[test]
fn estimates_are_within_two_percent() {
    for elements in [1u32, 100, 10_000, 300_000] {
        let counted = count(&filled(elements, 3000)).expect("sound") as f64;
        let error = (counted / f64::from(elements) - 1.0).abs();
        assert!(error < 0.02, "{counted} of {elements}");
    }
    assert_eq!(count(&empty()), Ok(0));
}

#[test]
fn a_sparse_one_grows_to_the_limit_and_no_further() {
    for n in 0.. {
        let text = filled(n, 100);
        if is_dense(&text) {
            assert_eq!(text.len(), DENSE_LEN);
            break;
        }
        assert!(text.len() <= 100, "{n}");
    }
}

#[test]
fn the_count_is_kept_until_a_register_rises() {
    let mut text = filled(10, 3000);
    assert_eq!(cached_count(&text), None);
    let (at, bytes) = count_to_cache(10);
    text[at..at + 8].copy_from_slice(&bytes);
    assert_eq!(cached_count(&text), Some(10));
    assert_eq!(
        raise(&mut text, sample(&3u32.to_le_bytes()), 3000),
        Ok(false)
    );
    assert_eq!(cached_count(&text), Some(10));
    assert_eq!(raise(&mut text, sample(b"new"), 3000), Ok(true));
    assert_eq!(cached_count(&text), None);
}

#[test]
fn other_strings_are_none() {
    let mut wrong_len = filled(10, 0);
    wrong_len.push(0);
    let mut wrong_form = empty();
    wrong_form[ENCODING_AT] = 2;
    for text in [b"".as_slice(), b"HYLL", &[0; 20], &wrong_len, &wrong_form] {
        assert!(!is_one(text), "{text:?}");
    }
}

#[test]
fn a_register_behind_the_last_is_an_error() {
    let mut text = empty();
    text.push(0x80);
    assert!(is_one(&text));
    assert!(merge(&mut Box::new([0; REGISTERS]), &text).is_err());
    assert!(make_dense(&mut text).is_err());
}
