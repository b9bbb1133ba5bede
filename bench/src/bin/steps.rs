//! Runs each operation's steps, for callgrind to count: what `ci/bench engine` starts. Nothing
//! stands in for libpmem here.

fn main() -> pobj::Result<()> {
    let all = bench::operations::all();
    all.iter().try_for_each(bench::instructions::run)
}
