//! Which seeds run, on all cores, and what is said of those that fail.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, set_hook};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::allocator::blocks;
use crate::world;

/// Seeds that have found a fault, or stand for a case that is hard to meet. One a line, with why.
const KEPT: &str = include_str!("kept");

/// Failures that are shown.
const MOST_SHOWN: usize = 5;

/// What a thread keeps between runs: spare buffers of `net`, what was said last.
const MOST_KEPT_BLOCKS: isize = 16;

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this run tells what happens.
pub fn is_told() -> bool {
    IS_TOLD.get()
}

pub fn main() -> ExitCode {
    let (mut seeds, mut first, mut one) = (1000, 1, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let number = arguments.next().and_then(|text| text.parse::<u64>().ok());
        match (name.as_str(), number) {
            ("--seeds", Some(number)) => seeds = number,
            ("--first", Some(number)) => first = number,
            ("--seed", Some(number)) => one = Some(number),
            _ => {
                eprintln!("usage: simulate [--seeds N] [--first N] [--seed N]");
                return ExitCode::from(2);
            }
        }
    }
    set_hook(Box::new(|panic| SAID.set(panic.to_string())));
    match one {
        Some(seed) => run_one(seed),
        None => run_many(first, seeds),
    }
}

fn run_one(seed: u64) -> ExitCode {
    IS_TOLD.set(true);
    match run(seed) {
        Ok(steps) => {
            println!("simulate: seed {seed}: well, {steps} calls of the kernel");
            ExitCode::SUCCESS
        }
        Err(said) => {
            println!("simulate: seed {seed}: {said}");
            ExitCode::FAILURE
        }
    }
}

fn run_many(first: u64, seeds: u64) -> ExitCode {
    let begun = Instant::now();
    let kept = KEPT.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let kept: Vec<u64> = kept.collect();
    let (next, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let seed = match kept.get(at as usize) {
                        Some(seed) => *seed,
                        None if at < kept.len() as u64 + seeds => first + at - kept.len() as u64,
                        None => return,
                    };
                    match run(seed) {
                        Ok(made) => {
                            calls.fetch_add(made, Ordering::Relaxed);
                        }
                        Err(said) => {
                            let mut failures = failures.lock().expect("nobody panics here");
                            failures.push((seed, said));
                            if failures.len() >= MOST_SHOWN {
                                next.store(u64::MAX / 2, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("nobody panics there");
    failures.sort();
    for (seed, said) in &failures {
        println!("simulate: seed {seed}: {said}");
        println!("    again, step by step: make simulate SEED={seed}");
    }
    let (seconds, kept, calls) = (begun.elapsed().as_secs_f64(), kept.len(), calls.into_inner());
    let (verdict, code) = match failures.is_empty() {
        true => ("all well", ExitCode::SUCCESS),
        false => ("FAILED", ExitCode::FAILURE),
    };
    println!(
        "simulate: seeds {first} to {}, {kept} kept ones, {calls} calls of the kernel, {seconds:.1} s: {verdict}",
        first + seeds - 1
    );
    code
}

/// The calls that were made of the kernel, or what went wrong.
fn run(seed: u64) -> Result<u64, String> {
    let before = blocks();
    let result = catch_unwind(|| world::run(seed));
    let outcome = result.map_err(|_| SAID.take());
    let kept = blocks() - before;
    match outcome {
        Ok(_) if kept > MOST_KEPT_BLOCKS => Err(format!("{kept} blocks of memory are left behind")),
        outcome => outcome,
    }
}
