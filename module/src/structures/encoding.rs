//! What OBJECT ENCODING calls the encodings: by the name of Redis's encoding that is most like it.

use super::Root;
use crate::value::ValueType;

/// The longest string that Redis keeps in one piece with the key's object.
const EMBEDDED_MAX: u64 = 44;

/// The encoding's name; the numbers are those at the head of each type's file. `listpacks`: the server
/// knows sets and lists that are listpacks, as Redis does from 7.2 on.
pub fn name(ty: ValueType, root: Root, listpacks: bool) -> &'static str {
    match (ty, root.encoding()) {
        (ValueType::String, 1) => "int",
        (ValueType::String, _) if root.rest() <= EMBEDDED_MAX => "embstr",
        (ValueType::String, _) => "raw",
        (ValueType::Set, 1) => "intset",
        (ValueType::Set, 2) | (ValueType::List, 1) if listpacks => "listpack",
        (ValueType::Hash | ValueType::ZSet, 1) => "listpack",
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
        let bytes = |len| name(ValueType::String, Root::new(2, len, 0), false);
        assert_eq!((bytes(44), bytes(45)), ("embstr", "raw"));
        assert_eq!(name(ValueType::String, Root::new(1, 0, 7), false), "int");
    }

    #[test]
    fn small_sets_and_lists_are_listpacks_where_the_server_has_them() {
        let small = |ty, encoding| {
            [false, true].map(|listpacks| name(ty, Root::new(encoding, 9, 64), listpacks))
        };
        assert_eq!(small(ValueType::Set, 2), ["hashtable", "listpack"]);
        assert_eq!(small(ValueType::List, 1), ["quicklist", "listpack"]);
        assert_eq!(small(ValueType::Hash, 1), ["listpack"; 2]);
    }
}
