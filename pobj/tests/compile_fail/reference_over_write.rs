//! A reference read through a transaction does not live on over its writes.
use pobj::{PPtr, Tx};

fn keep(tx: &mut Tx<'_>, text: PPtr<u8>) -> u8 {
    let bytes: &[u8] = tx.bytes(text, 3).unwrap();
    tx.write(text, b"new").unwrap();
    bytes[0]
}

fn main() {}
