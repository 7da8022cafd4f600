//! `make simulate`: all of `net` over a simulated kernel (crates/simulated). A seed is a run: it
//! decides the peers, what the network does, what fails, and what is asked of connections by whom.
//! Each run checks itself as it goes, see `world`. Without `--cfg simulate` nothing runs.
//!
//! Arguments: `--seeds N` runs so many, from `--first N` on; `--seed N` runs one and tells what
//! happens. The seeds in `kept` run always.

#[cfg(simulate)]
mod allocator;
#[cfg(simulate)]
mod connection;
#[cfg(simulate)]
mod content;
#[cfg(simulate)]
mod end;
#[cfg(simulate)]
mod operation;
#[cfg(simulate)]
mod peers;
#[cfg(simulate)]
mod record_layer;
#[cfg(simulate)]
mod runner;
#[cfg(simulate)]
mod scheduler;
#[cfg(simulate)]
mod world;

#[cfg(simulate)]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(simulate))]
fn main() {}
