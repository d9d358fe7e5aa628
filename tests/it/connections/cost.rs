//! What a list costs where clients are many. It prints figures and compares none: run it alone, with
//! `cargo test --release --test it -- --ignored --nocapture connections::cost`.

use super::list;
use crate::harness::{Client, Origin, Running, Setup, eventually, kernel, within};
use libtest_mimic::Trial;
use millpond::sys::sock_diag::TcpState;
use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Idle clients. Other tests of this process have theirs at the same time, within the same RLIMIT_NOFILE.
const CLIENTS: usize = 5_000;
/// Lists of which the mean is taken.
const LISTS: u32 = 20;
/// From one list to the next, so that the pauses between them count as well.
const SPACING: Duration = Duration::from_millis(100);

pub(super) fn tests() -> Vec<Trial> {
    let tests = crate::trials![what_a_list_costs_among_idle_clients];
    tests.into_iter().map(|trial| trial.with_ignored_flag(true)).collect()
}

#[allow(clippy::print_stdout, reason = "figures are what it is for")]
fn what_a_list_costs_among_idle_clients() {
    let origin = Origin::saying("ok");
    let process = Running::start(
        &Setup::http([origin.address()]).listener("timeout = { idle = \"1h\", header = \"1h\" }"),
    );
    let held: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(process.address())).collect();
    let mut probe = Client::connect(process.address());
    assert_eq!(probe.get("/").text(), "ok");
    eventually("all are accepted", || {
        list(process.admin(), "side=client&phase=idle&limit=0").matching > CLIENTS as u64
    });

    let (before, calm) = (cpu_by_thread(&process), slowest(&mut probe, || thread::sleep(SPACING * LISTS)));
    let rested = since(&before, &cpu_by_thread(&process));
    let (before, admin) = (cpu_by_thread(&process), process.admin());
    let mut took = Duration::ZERO;
    let busy = slowest(&mut probe, || {
        for _ in 0..LISTS {
            let start = Instant::now();
            assert_eq!(list(admin, "limit=1000").connections.len(), 1000);
            took += start.elapsed();
            thread::sleep(SPACING);
        }
    });
    let listed = since(&before, &cpu_by_thread(&process));
    println!(
        "{CLIENTS} idle clients, limit=1000, mean of {LISTS}: {:.1} ms until it is there",
        ms(took / LISTS)
    );
    for (thread, busy) in listed {
        let own = busy.saturating_sub(rested.get(&thread).copied().unwrap_or_default());
        println!("  CPU of {thread}: {:.2} ms", ms(own / LISTS));
    }
    println!("slowest answer to a request meanwhile: {:.2} ms; without lists: {:.2} ms", ms(busy), ms(calm));
    drop(held);
    within(Duration::from_secs(60), "all are closed", || {
        kernel::of_listener(process.address(), &[TcpState::CloseWait]).is_empty()
    });
}

fn connect(proxy: SocketAddr) -> TcpStream {
    TcpStream::connect(proxy).expect("the proxy accepts")
}

/// The longest that an exchange of this client took while `run` ran: a pause of the worker shows in it.
fn slowest(probe: &mut Client, run: impl FnOnce() + Send) -> Duration {
    let over = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let done = Arc::clone(&over);
        scope.spawn(move || {
            run();
            done.store(true, Relaxed);
        });
        let mut slowest = Duration::ZERO;
        while !over.load(Relaxed) {
            let start = Instant::now();
            assert_eq!(probe.get("/").status(), 200);
            slowest = slowest.max(start.elapsed());
            thread::sleep(Duration::from_millis(1));
        }
        slowest
    })
}

/// CPU time of the threads, by their names (proc_pid_schedstat(5): the first number, in nanoseconds).
fn cpu_by_thread(process: &Running) -> BTreeMap<String, Duration> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs").flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let nanoseconds = read("schedstat").split(' ').next().and_then(|text| text.parse().ok());
        let sum: &mut Duration = sums.entry(read("comm").trim().to_owned()).or_default();
        *sum += Duration::from_nanos(nanoseconds.unwrap_or(0));
    }
    sums
}

fn since(
    before: &BTreeMap<String, Duration>,
    after: &BTreeMap<String, Duration>,
) -> BTreeMap<String, Duration> {
    let grown = |(name, sum): (&String, &Duration)| {
        (name.clone(), sum.saturating_sub(before.get(name).copied().unwrap_or_default()))
    };
    after.iter().map(grown).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
