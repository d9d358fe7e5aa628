//! Parses the command line, calls the command, returns its exit code.

use std::process::ExitCode;

/// The workers allocate and free on their own threads all the time; mimalloc has a heap a thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millpond::cli::main()
}
