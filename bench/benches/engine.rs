//! Times of the engine's operations, without a server: `cargo bench -p bench`.
//!
//! The pool lies on tmpfs and counts as persistent memory: flushes and fences are executed.

use bench::measure::relaunch_with_flushes;
use bench::operations::{self, Effect, Operation, Store};
use criterion::Criterion;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Steps of a store.
const STEPS: usize = 10_000;

fn engine(criterion: &mut Criterion) {
    for operation in operations::all() {
        let name = operation.label().replace(" | ", "/");
        let mut kept: Option<Store> = None;
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|steps| time(&operation, steps, &mut kept));
        });
    }
}

/// How long so many steps take. Values that stay as they are serve again; others are made anew.
fn time(operation: &Operation, steps: u64, kept: &mut Option<Store>) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = steps as usize;
    while left > 0 {
        let reuse = kept.take().filter(|_| operation.effect == Effect::Keeps);
        let mut store = reuse.unwrap_or_else(|| Store::new(operation, STEPS).expect("a store"));
        let now = left.min(store.steps());
        let start = Instant::now();
        for number in 0..now {
            black_box(store.step(number).expect("a step"));
        }
        took += start.elapsed();
        left -= now;
        *kept = Some(store);
    }
    took
}

fn main() {
    relaunch_with_flushes();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    engine(&mut criterion);
    criterion.final_summary();
}
