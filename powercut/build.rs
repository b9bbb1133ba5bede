//! Makes the test executables export the functions of libpmem that they stand in for, so that a
//! libpmemobj loaded at run time finds them before libpmem's own.

fn main() {
    println!("cargo:rustc-link-arg-tests=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
}
