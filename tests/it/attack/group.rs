//! The kernel's own limit: in a control group with little memory, whoever takes more is killed.

use super::memory::{bomb, buffers};
use super::scene::{Scene, bystander, closed_windows, crowd};
use crate::harness::eventually;
use libtest_mimic::{Completion, Trial};
use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "attack::group::a_process_in_a_small_group_goes_on";

pub(crate) fn tests() -> Vec<Trial> {
    vec![Trial::ignorable_test(NAME, || match Group::new(LIMIT) {
        Some(group) => {
            a_process_in_a_small_group_goes_on(&group);
            Ok(Completion::Completed)
        }
        None => Ok(Completion::ignored_with("no control group may be made, or none limits memory")),
    })]
}

/// Of the group, in bytes.
const LIMIT: usize = 48 << 20;
/// A quarter, which `runtime.buffer_memory` is by default.
const BUFFERS: usize = LIMIT / 4;
/// Without that limit, these would take 47 MiB beside what the process has already.
const READERS: usize = 300;
const BOMBS: usize = 900;
const BIG: &str = "GET /big HTTP/1.1\r\nHost: test\r\n\r\n";

fn a_process_in_a_small_group_goes_on(group: &Group) {
    let mut scene = Scene::in_group(&group.procs());
    assert_eq!(buffers(&scene).1, BUFFERS as u64, "it has found its limit");
    let mut running = bystander(scene.address());
    running.send(BIG);
    running.gather(1 << 20);
    let attackers = scene.withstand(|address| {
        let readers = closed_windows(address, READERS, BIG);
        [readers, crowd(address, BOMBS, bomb())]
    });
    eventually("heads are refused", || scene.rejects("memory") > 0);
    assert_eq!(running.response().body.len(), 8 << 20, "what runs is not ended");
    drop(attackers);
    eventually("buffers are given back", || buffers(&scene).0 <= BUFFERS as u64 / 4 * 3);
    assert!(scene.process.is_running());
    assert_eq!(bystander(scene.address()).get("/").text(), "ok");
}

/// A control group of its own, of either version. cgroups(7)
struct Group {
    path: PathBuf,
}

impl Group {
    fn new(limit: usize) -> Option<Self> {
        let versions = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        versions.into_iter().find_map(|(root, file)| {
            let path = Path::new(root).join(format!("millpond-test-{}", std::process::id()));
            fs::create_dir(&path).ok()?;
            let group = Self { path };
            let file = group.path.join(file);
            // Anything can be created in a directory that is none of a control group's.
            (file.exists() && fs::write(file, limit.to_string()).is_ok()).then_some(group)
        })
    }

    fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once its last process is gone.
        crate::harness::eventually("the group is empty", || fs::remove_dir(&self.path).is_ok());
    }
}
