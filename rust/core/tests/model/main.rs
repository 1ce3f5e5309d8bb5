//! Random sequences of all that can happen, against a model of a few lines: nothing withdrawn, expired, foreign or of a
//! kind that the client can't use is ever served, nobody is denied without reason, and every waiter is told.
//!
//! `MODEL_SEED` chooses other sequences, `PROPTEST_CASES` how many.

mod answers;
mod certificates;
mod disk;
mod host;
mod model;
mod settings;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod world;

use std::cell::Cell;
use std::time::Instant;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use tally::Tally;
use world::World;

#[test]
fn whatever_happens_only_what_may_be_served_is_served() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seed, cases) = (number("MODEL_SEED").unwrap_or(1_u64), number("PROPTEST_CASES").unwrap_or(256));
    let config = Config {
        cases: u32::try_from(cases).expect("a number of cases"),
        max_shrink_iters: 400,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));

    let (begin, sum, count) = (Instant::now(), Cell::new(Tally::default()), Cell::new(0));
    // A sequence is made shorter by many that fail: only the last counts.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = runner.run(&steps::steps(), |steps| {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        sum.set(sum.get() + world.end());
        count.set(count.get() + steps.len());
        Ok(())
    });
    std::panic::set_hook(hook);
    if let Err(TestError::Fail(reason, steps)) = &result {
        let steps: Vec<_> = steps.iter().map(|step| format!("    {step:?}\n")).collect();
        panic!("MODEL_SEED={seed}: {reason}; the shortest such sequence:\n{}", steps.concat());
    }
    result.unwrap();
    let (sum, steps) = (sum.get(), count.get());
    println!(
        "model: seed {seed}, {cases} cases, {steps} steps in {:.1} s: {sum:?}",
        begin.elapsed().as_secs_f64()
    );
    let Tally { hits, stale, found, from_disk, withdrawn, .. } = sum;
    assert!([hits, stale, found, from_disk, withdrawn].iter().all(|count| *count > 0), "{sum:?}");
}
