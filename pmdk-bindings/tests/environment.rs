//! The library is loaded when asked for, not before, and so sees what the program put into the
//! environment. One test only: it needs the process to itself.

use std::env;
use std::fs;

#[test]
fn libpmem_sees_variables_that_were_set_before_loading() {
    assert!(!is_mapped("libpmem"), "nothing links PMDK");

    // SAFETY: the only other thread, the test harness's, waits for this one.
    unsafe { env::set_var("PMEM_IS_PMEM_FORCE", "1") };
    pmdk_bindings::load().expect("libpmemobj1 is installed");
    let libpmem = pmdk_bindings::load_libpmem().expect("libpmem1 is installed");

    assert!(is_mapped("libpmemobj.so") && is_mapped("libpmem.so"));
    let memory = [0_u8; 64];
    // SAFETY: the range is a mapped one.
    let forced = unsafe { libpmem.pmem_is_pmem(memory.as_ptr().cast(), memory.len()) };
    assert_eq!(
        forced, 1,
        "ordinary memory counts as persistent when it is forced to"
    );
}

/// Whether a file whose name starts with `name` is mapped into this process.
fn is_mapped(name: &str) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
    maps.lines().any(|line| {
        line.rsplit('/')
            .next()
            .is_some_and(|file| file.starts_with(name))
    })
}
