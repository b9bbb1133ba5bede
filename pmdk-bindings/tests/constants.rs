//! Each constant and each restated macro has the value that the C compiler gives it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The values as Rust sees them, by their C expression.
fn rust_values() -> BTreeMap<&'static str, u64> {
    macro_rules! by_name {
        ($($name:ident)*) => { [$((stringify!($name), pmdk_bindings::$name as u64)),*] };
    }
    let mut values = BTreeMap::from(by_name! {
        PMEMOBJ_MAJOR_VERSION PMEMOBJ_MINOR_VERSION
        PMEMOBJ_MIN_POOL PMEMOBJ_MIN_PART PMEMOBJ_MAX_ALLOC_SIZE
        POBJ_XALLOC_ZERO POBJ_XALLOC_NO_FLUSH POBJ_XALLOC_NO_ABORT
        POBJ_XALLOC_CLASS_MASK POBJ_XALLOC_ARENA_MASK
        POBJ_XADD_NO_FLUSH POBJ_XADD_NO_SNAPSHOT POBJ_XADD_ASSUME_INITIALIZED POBJ_XADD_NO_ABORT
        PMEMOBJ_F_MEM_NODRAIN PMEMOBJ_F_MEM_NONTEMPORAL PMEMOBJ_F_MEM_TEMPORAL
        PMEMOBJ_F_MEM_WC PMEMOBJ_F_MEM_WB PMEMOBJ_F_MEM_NOFLUSH PMEMOBJ_F_RELAXED
        POBJ_ACTION_TYPE_HEAP POBJ_ACTION_TYPE_MEM
        POBJ_HEADER_LEGACY POBJ_HEADER_COMPACT POBJ_HEADER_NONE
        POBJ_TX_FAILURE_ABORT POBJ_TX_FAILURE_RETURN
        TX_PARAM_NONE TX_STAGE_NONE TX_STAGE_WORK TX_STAGE_ONCOMMIT TX_STAGE_ONABORT
        TX_STAGE_FINALLY
    });
    values.extend([
        ("POBJ_CLASS_ID(0)", pmdk_bindings::pobj_class_id(0)),
        ("POBJ_CLASS_ID(1)", pmdk_bindings::pobj_class_id(1)),
        ("POBJ_CLASS_ID(254)", pmdk_bindings::pobj_class_id(254)),
        ("POBJ_CLASS_ID(65535)", pmdk_bindings::pobj_class_id(65535)),
        ("POBJ_ARENA_ID(1)", pmdk_bindings::pobj_arena_id(1)),
        ("POBJ_ARENA_ID(65535)", pmdk_bindings::pobj_arena_id(65535)),
        (
            "OID_NULL.pool_uuid_lo",
            pmdk_bindings::OID_NULL.pool_uuid_lo,
        ),
        ("OID_NULL.off", pmdk_bindings::OID_NULL.off),
        (
            "sizeof(PMEMoid)",
            size_of::<pmdk_bindings::PMEMoid>() as u64,
        ),
        (
            "sizeof(struct pobj_action)",
            size_of::<pmdk_bindings::pobj_action>() as u64,
        ),
        (
            "sizeof(struct pobj_alloc_class_desc)",
            size_of::<pmdk_bindings::pobj_alloc_class_desc>() as u64,
        ),
    ]);
    values
}

#[test]
fn constants_have_the_values_of_c() {
    let expected = rust_values();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (source, program) = (dir.path().join("values.c"), dir.path().join("values"));
    let prints: String = expected
        .keys()
        .map(|expression| format!("printf(\"%llu\\n\", (unsigned long long)({expression}));\n"))
        .collect();
    fs::write(
        &source,
        format!(
            "#include <stdio.h>\n#include <libpmemobj.h>\n\
             int main(void) {{\n{prints}return 0;\n}}\n"
        ),
    )
    .expect("the source is written");

    // Without optimization the inline pmemobj_direct is emitted and wants the library.
    let compiled = Command::new("cc")
        .args(["-O1", "-o"])
        .args([&program, &source])
        .status()
        .expect("a C compiler is installed");
    assert!(compiled.success(), "{compiled}");
    let output = Command::new(&program).output().expect("the program starts");
    assert!(output.status.success(), "{}", output.status);

    let in_c = String::from_utf8(output.stdout).expect("numbers are text");
    let in_c: Vec<u64> = in_c
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(in_c.len(), expected.len());
    for ((expression, in_rust), in_c) in expected.into_iter().zip(in_c) {
        assert_eq!(in_rust, in_c, "{expression}");
    }
}
