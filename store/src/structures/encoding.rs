//! What OBJECT ENCODING calls the encodings: by the name of Redis's encoding that is most like it.
//!
//! The names stand with each type ([`Structure::encoding`](super::Structure::encoding)).

/// Which encodings the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Sets and lists that are listpacks, as Redis does from 7.2 on.
    pub listpacks: bool,
    /// Hashes that are listpacks though fields expire, as Redis does, and Valkey does not.
    pub listpacks_with_times: bool,
    /// Bytes of the longest string that it would keep in one piece with this key's object; below
    /// zero if there is none.
    pub embedded_max: i64,
}

#[cfg(test)]
mod tests {
    use super::Known;
    use crate::structures::{self, Root};
    use crate::value::ValueType;

    const OLD: Known = Known {
        listpacks: false,
        listpacks_with_times: false,
        embedded_max: 44,
    };

    fn name(ty: ValueType, root: Root, known: Known) -> &'static str {
        structures::of(ty).encoding(root, known)
    }

    #[test]
    fn strings_are_named_by_their_length() {
        let bytes = |len| name(ValueType::String, Root::new(2, len, 0), OLD);
        assert_eq!((bytes(44), bytes(45)), ("embstr", "raw"));
        assert_eq!(name(ValueType::String, Root::new(1, 0, 7), OLD), "int");
    }

    #[test]
    fn small_sets_and_lists_are_listpacks_where_the_server_has_them() {
        let small = |ty, encoding| {
            [false, true].map(|new| {
                let known = Known {
                    listpacks: new,
                    listpacks_with_times: new,
                    ..OLD
                };
                name(ty, Root::new(encoding, 9, 64), known)
            })
        };
        assert_eq!(small(ValueType::Set, 2), ["hashtable", "listpack"]);
        assert_eq!(small(ValueType::List, 1), ["quicklist", "listpack"]);
        assert_eq!(small(ValueType::Hash, 1), ["listpack"; 2]);
        assert_eq!(small(ValueType::Hash, 3), ["hashtable", "listpackex"]);
        assert_eq!(small(ValueType::Hash, 4), ["hashtable"; 2]);
    }
}
