//! What OBJECT ENCODING calls the encodings: by the name of Redis's encoding that is most like it.

use super::Root;
use crate::value::ValueType;

/// The longest string that Redis keeps in one piece with the key's object.
const EMBEDDED_MAX: u64 = 44;

/// The encoding's name; the numbers are those at the head of each type's file.
pub fn name(ty: ValueType, root: Root) -> &'static str {
    match (ty, root.encoding()) {
        (ValueType::String, 1) => "int",
        (ValueType::String, _) if root.rest() <= EMBEDDED_MAX => "embstr",
        (ValueType::String, _) => "raw",
        (ValueType::Set, 1) => "intset",
        (ValueType::List | ValueType::Hash | ValueType::ZSet, 1) | (ValueType::Set, 2) => {
            "listpack"
        }
        (ValueType::List, _) => "quicklist",
        (ValueType::Hash | ValueType::Set, _) => "hashtable",
        (ValueType::ZSet, _) => "skiplist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_named_by_their_length() {
        let bytes = |len| name(ValueType::String, Root::new(2, len, 0));
        assert_eq!((bytes(44), bytes(45)), ("embstr", "raw"));
        assert_eq!(name(ValueType::String, Root::new(1, 0, 7)), "int");
    }
}
