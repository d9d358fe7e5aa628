use super::*;

const FULL: Hold = Hold::TO_THE_END;
const REUSED: Hold = Hold { time: Duration::from_secs(1), reuse: true };

/// A ledger and its clock.
struct Run {
    ledger: Ledger,
    now: Instant,
}

impl Run {
    fn new(hold: Hold) -> Self {
        Self { ledger: Ledger::new(hold), now: Instant::now() }
    }

    fn open(&mut self, count: u32) {
        (0..count).for_each(|_| self.ledger.open());
    }

    fn close(&mut self, count: u32, left: Left) {
        (0..count).for_each(|_| self.ledger.close(left, None, self.now));
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn census(&mut self, open: u32, time_wait: u32) {
        self.pass(1000);
        self.ledger.note_census(KernelPorts { open, time_wait }, self.now);
    }

    /// Open, and held.
    fn taken(&mut self) -> (u32, u32) {
        let taken = self.ledger.taken(false, self.now);
        (taken.open, taken.held)
    }
}

#[test]
fn a_close_holds_its_port_as_the_kernel_does() {
    for (hold, ms) in [(FULL, 65_120), (REUSED, 1_000)] {
        let mut run = Run::new(hold);
        run.open(3);
        run.close(1, Left::TimeWait);
        run.close(1, Left::Nothing);
        assert_eq!(run.taken(), (1, 1));
        run.pass(ms - 1);
        assert_eq!(run.taken(), (1, 1));
        run.pass(101);
        assert_eq!(run.taken(), (1, 0));
    }
}

#[test]
fn a_nat_holds_what_the_kernel_does_not() {
    let mut run = Run::new(REUSED);
    run.open(3);
    run.ledger.close(Left::Nothing, Some(Duration::from_secs(120)), run.now);
    run.ledger.close(Left::TimeWait, Some(Duration::from_secs(120)), run.now);
    run.ledger.close(Left::Unused, Some(Duration::from_secs(120)), run.now);
    let held = |run: &mut Run| run.ledger.taken(true, run.now).held;
    assert_eq!((held(&mut run), run.taken()), (2, (0, 1)));
    run.pass(119_999);
    assert_eq!((held(&mut run), run.taken()), (2, (0, 0)));
    run.pass(102);
    assert_eq!(held(&mut run), 0);
}

#[test]
fn what_others_hold_is_as_the_census_has_it() {
    let mut run = Run::new(FULL);
    run.open(10);
    run.close(4, Left::TimeWait);
    run.census(6, 4);
    run.census(6, 4);
    assert_eq!(run.taken(), (6, 4), "all is ours");
    run.census(16, 9);
    assert_eq!(run.taken(), (16, 9));
    run.open(1);
    assert_eq!(run.taken(), (17, 9));
    run.census(7, 4);
    run.census(7, 4);
    assert_eq!(run.taken(), (7, 4), "the others have gone");
    run.census(0, 4);
    assert_eq!(run.taken(), (7, 4), "what is about to be opened is no debt of others");
}

#[test]
fn time_waits_that_the_kernel_does_not_have_are_forgotten() {
    let mut run = Run::new(FULL);
    run.open(10);
    run.close(10, Left::TimeWait);
    run.census(0, 10);
    run.census(0, 3);
    assert_eq!(run.taken(), (0, 3));
    run.pass(66_000);
    assert_eq!(run.taken(), (0, 0));
}

#[test]
fn a_close_that_waits_for_the_others_fin_is_counted_once() {
    let mut run = Run::new(FULL);
    run.open(10);
    run.close(10, Left::TimeWait);
    run.census(0, 10);
    // FIN_WAIT_2: the kernel counts them as open.
    run.census(10, 0);
    assert_eq!(run.taken(), (10, 0));
    run.census(0, 10);
    assert_eq!(run.taken(), (0, 10));
}

/// Both FINs are through before the worker has closed its descriptor.
#[test]
fn a_close_that_only_the_kernel_knows_of_is_counted_once() {
    let mut run = Run::new(FULL);
    run.open(2);
    run.census(2, 0);
    run.census(1, 1);
    assert_eq!(run.taken(), (2, 0));
    run.close(1, Left::TimeWait);
    assert_eq!(run.taken(), (1, 1));
    run.census(1, 2);
    assert_eq!(run.taken(), (1, 2), "one is another's: all of ours that are open, the kernel has as open");
}

#[test]
fn time_waits_last_until_the_kernels_timers_say_so() {
    let mut run = Run::new(FULL);
    run.open(5);
    run.close(5, Left::TimeWait);
    run.pass(62_000);
    run.census(0, 5);
    assert_eq!(run.taken(), (0, 5), "the kernel's timers are late by some seconds");
    run.census(0, 1);
    assert_eq!(run.taken(), (0, 1), "but not by as much as they could be");
}

#[test]
fn time_waits_that_last_longer_than_foreseen_are_found() {
    let mut run = Run::new(FULL);
    run.open(5);
    run.close(5, Left::TimeWait);
    run.pass(66_000);
    assert_eq!(run.taken(), (0, 0));
    run.census(0, 5);
    run.census(0, 5);
    assert_eq!(run.taken(), (0, 5));
}

#[test]
fn a_count_from_the_midst_of_a_burst_accuses_nobody() {
    let mut run = Run::new(FULL);
    run.census(0, 0);
    run.open(100);
    run.close(100, Left::Nothing);
    // The kernel was asked when all were open.
    run.census(100, 0);
    assert_eq!(run.taken(), (0, 0));
    run.census(3, 0);
    assert_eq!(run.taken(), (3, 0), "and what is there when nothing happens is others'");
}

#[test]
fn one_census_for_two_upstreams_counts_once() {
    let mut run = Run::new(FULL);
    run.open(10);
    run.close(10, Left::Nothing);
    let kernel = KernelPorts { open: 10, time_wait: 0 };
    run.ledger.note_census(kernel, run.now);
    run.ledger.note_census(kernel, run.now);
    assert_eq!(run.taken(), (0, 0), "the second time, the burst would be forgotten");
}

#[test]
fn reused_time_waits_hold_nothing_until_the_kernel_says_otherwise() {
    let mut run = Run::new(REUSED);
    run.open(90);
    run.close(80, Left::TimeWait);
    run.pass(2000);
    run.census(10, 80);
    assert_eq!(run.taken(), (10, 0));
    assert!(!run.ledger.blame_time_waits(100, run.now), "90 of 100 do not explain it");
    assert!(run.ledger.blame_time_waits(94, run.now));
    run.census(10, 80);
    assert_eq!(run.taken(), (10, 80));
    run.close(10, Left::TimeWait);
    run.pass(59_000);
    assert_eq!(run.taken(), (0, 90));
}

#[test]
fn nothing_left_is_believed_for_a_while() {
    let mut run = Run::new(FULL);
    run.ledger.note_full(run.now + Duration::from_secs(1));
    assert!(run.ledger.taken(false, run.now).is_all);
    run.pass(1000);
    assert!(!run.ledger.taken(false, run.now).is_all);
}

#[test]
fn a_port_that_another_process_has_taken_over_is_still_taken() {
    let mut run = Run::new(FULL);
    run.open(3);
    run.close(2, Left::Moved);
    assert_eq!(run.taken(), (3, 0), "by the other process now");
    assert!(run.ledger.rates(run.now).closes < f64::EPSILON, "and nothing was closed");
    run.census(3, 0);
    assert_eq!(run.taken(), (3, 0), "as the kernel says, too");
    run.census(1, 0);
    assert_eq!(run.taken(), (1, 0), "until it is closed there");
}
