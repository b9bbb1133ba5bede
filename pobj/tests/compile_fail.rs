//! The borrow checker refuses a reference into the pool that outlives a change.

#[test]
fn references_do_not_outlive_writes() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// A struct with padding has bytes nobody has set: it cannot lie in a pool.
#[derive(Clone, Copy)]
#[repr(C)]
struct _Padded {
    small: u8,
    word: u64,
}
static_assertions::assert_not_impl_any!(_Padded: pobj::Persistent);
static_assertions::assert_not_impl_any!(&'static u8: pobj::Persistent);
static_assertions::assert_impl_all!(Option<pobj::PPtr<u64>>: pobj::Persistent);
