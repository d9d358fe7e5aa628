//! A new process that plays its part up to some point: this test program itself, when it is started as millpond
//! is for an upgrade.

use millpond::sys::fd_passing::FdSocket;
use millpond::upgrade::{FromNew, FromOld, Link, PROTOCOL, VARIABLE};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What the new process does, and what it does not do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Greets,
    Wants,
    Ready,
    Takes,
    IsToldToServe,
}

impl Step {
    pub(super) const ALL: [Self; 5] =
        [Self::Greets, Self::Wants, Self::Ready, Self::Takes, Self::IsToldToServe];
}

const PATIENCE: Duration = Duration::from_secs(20);

/// What it is to do is in a file beside the program.
fn script(program: &Path) -> PathBuf {
    program.with_file_name("script")
}

/// Where it says which process it is, and which step it has done.
fn stage(program: &Path) -> PathBuf {
    program.with_file_name("stage")
}

/// Writes what the next new process is to do: all steps before this one; then `ending`: `hang`, `die` or
/// `nonsense`.
pub(super) fn write_script(program: &Path, before: Step, ending: &str) {
    let steps = Step::ALL.into_iter().filter(|step| *step < before).count();
    fs::write(script(program), format!("{steps} {ending}")).unwrap();
    // None may be there yet.
    let _ = fs::remove_file(stage(program));
}

/// The process that has come so far as its script says.
pub(super) fn has_arrived(program: &Path) -> Option<u32> {
    fs::read_to_string(stage(program)).ok()?.trim().parse().ok()
}

/// Plays the part, if this process was started for that.
pub(crate) fn play() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let program = PathBuf::from(std::env::args_os().next().expect("a program has a name"));
    let text = fs::read_to_string(script(&program)).expect("a script");
    let (steps, ending) = text.split_once(' ').expect("steps and an ending");
    let socket = FdSocket::from_stdin().expect("a connection");
    if ending == "nonsense" {
        socket.send(b"HTTP/1.1 200 OK\r\n\r\n", &[], PATIENCE).expect("the old process reads");
        thread::sleep(PATIENCE);
    }
    let link: Link<FromNew, FromOld> = Link::new(socket);
    let steps: usize = steps.parse().expect("a number of steps");
    Step::ALL.into_iter().take(steps).for_each(|step| take(step, &link));
    let new = stage(&program).with_extension("new");
    fs::write(&new, std::process::id().to_string()).unwrap();
    fs::rename(new, stage(&program)).unwrap();
    if ending == "hang" {
        thread::sleep(6 * PATIENCE);
    }
    std::process::exit(3);
}

fn take(step: Step, link: &Link<FromNew, FromOld>) {
    let say = |message| link.say(&message, &[], PATIENCE).expect("the old process hears");
    let hear = || link.hear(PATIENCE, &|| false).expect("the old process speaks");
    match step {
        Step::Greets => {
            say(FromNew::Greeting {
                protocols: vec![PROTOCOL],
                version: "0.0.0".into(),
                pid: std::process::id(),
            });
            assert!(matches!(hear().0, FromOld::Greeting { protocol: PROTOCOL, .. }));
        }
        Step::Wants => {
            let listeners = vec!["127.0.0.1:0".parse().unwrap()];
            say(FromNew::Wants { listeners, admin: "127.0.0.1:0".into() });
            let mut sockets = 0;
            loop {
                match hear() {
                    (FromOld::Listener { place: 0 }, descriptors) => sockets += descriptors.len(),
                    (FromOld::Admin { .. }, descriptors) => assert_eq!(descriptors.len(), 1),
                    (FromOld::EndOfSockets, _) => break,
                    (other, _) => panic!("{other:?}"),
                }
            }
            assert!(sockets > 0);
        }
        Step::Ready => say(FromNew::Ready { bound: 0 }),
        Step::Takes => match hear() {
            (FromOld::Connections { connections }, descriptors) => {
                assert_eq!(connections.len(), descriptors.len());
                say(FromNew::Taken { refused: vec![0] });
            }
            (other, _) => panic!("{other:?}"),
        },
        Step::IsToldToServe => assert_eq!(hear().0, FromOld::Serve),
    }
}
