//! A preloaded library that has functions of libpmem takes their place, for libpmemobj and for us.

use std::env;
use std::process::Command;

use pmdk_bindings::{PMEMOBJ_MIN_POOL, load, load_libpmem};

#[test]
fn a_preloaded_library_stands_in_for_libpmem() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let interposer = dir.path().join("interposer.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&interposer)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interposer.c"))
        .status()
        .expect("a C compiler is installed");
    assert!(compiled.success(), "{compiled}");

    let output = Command::new(env::current_exe().expect("Linux has it"))
        .args(["--exact", "with_the_interposer", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", &interposer)
        .env_remove("PMEM_IS_PMEM_FORCE")
        .output()
        .expect("this program starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
#[ignore = "run by the test above, with the interposer preloaded"]
fn with_the_interposer() {
    // SAFETY: the name is a string; the symbol is the interposer's counter.
    let drains = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"interposed_drains".as_ptr()) };
    assert!(!drains.is_null(), "the interposer is preloaded");
    let drains = drains.cast::<libc::c_int>();

    let memory = [0_u8; 64];
    let libpmem = load_libpmem().expect("libpmem1 is installed");
    // SAFETY: the range is a mapped one.
    let asked = unsafe { libpmem.pmem_is_pmem(memory.as_ptr().cast(), memory.len()) };
    assert_eq!(
        asked, 1,
        "ordinary memory is persistent for the interposer alone"
    );

    let lib = load().expect("libpmemobj1 is installed");
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
    let path = dir
        .path()
        .join("pool")
        .into_os_string()
        .into_string()
        .expect("a plain path");
    let path = std::ffi::CString::new(path).expect("no path contains a null byte");
    // SAFETY: the arguments are strings, a size and a mode; the pool is closed last; the counter is
    // read by the only thread that drains.
    unsafe {
        let pop = lib.pmemobj_create(path.as_ptr(), c"".as_ptr(), PMEMOBJ_MIN_POOL, 0o600);
        assert!(!pop.is_null(), "the pool is created");
        let before = drains.read();
        lib.pmemobj_drain(pop);
        assert_eq!(drains.read(), before + 1);
        lib.pmemobj_close(pop);
    }
}
