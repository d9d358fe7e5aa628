//! tmux as a terminal: what is on its screen can be read, and keys can be pressed.

use super::process::succeeds;
use super::program::TMUX;
use crate::harness::{DEADLINE, eventually};
use rustix::process::Pid;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Between two looks at the screen, each of which starts a process.
const STEP: Duration = Duration::from_millis(20);

/// A terminal of 80x24 with a shell in it, and a tmux server of its own.
#[derive(Debug)]
pub(super) struct Terminal {
    directory: TempDir,
}

impl Terminal {
    #[track_caller]
    pub(super) fn open() -> Self {
        let terminal = Self { directory: TempDir::new().expect("a temporary directory") };
        terminal.tmux(&["new-session", "-d", "-x", "80", "-y", "24", "env PS1=ready: sh"]);
        terminal.wait_for("ready:");
        terminal
    }

    /// Types a line and ends it.
    #[track_caller]
    pub(super) fn line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Presses keys, by tmux's names for them.
    #[track_caller]
    pub(super) fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// What is on the screen.
    #[track_caller]
    pub(super) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the escape sequences that colour it.
    #[track_caller]
    pub(super) fn coloured_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(super) fn wait_for(&self, words: &str) {
        self.wait_until(words, |screen| screen.contains(words));
    }

    /// Waits until the screen is so.
    #[track_caller]
    pub(super) fn wait_until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "never on the screen: {what}\n{screen}");
            thread::sleep(STEP);
        }
    }

    #[track_caller]
    pub(super) fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Whether a program has a screen of its own, and whether the cursor is to be seen.
    #[track_caller]
    pub(super) fn modes(&self) -> (bool, bool) {
        let modes = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let (screen, cursor) = modes.trim().split_once(' ').expect("two flags");
        (screen == "1", cursor == "1")
    }

    /// The program that the shell has started and waits for: the leader of the process group in the
    /// foreground (proc_pid_stat(5), field 8).
    #[track_caller]
    pub(super) fn program(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", shell.trim())).expect("a shell");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let group = fields.split_whitespace().nth(5).and_then(|field| field.parse().ok());
        group.and_then(Pid::from_raw).expect("a process group")
    }

    /// The terminal's settings, as stty(1) has them, without its size. Only at a shell's prompt.
    #[track_caller]
    pub(super) fn settings(&self) -> String {
        let file = self.directory.path().join("settings");
        let _ = std::fs::remove_file(&file);
        self.line(&format!("stty -g > {0}.new; mv {0}.new {0}", file.display()));
        eventually("the settings", || file.exists());
        std::fs::read_to_string(file).expect("just written")
    }

    /// Closes the window and all that is in it.
    #[track_caller]
    pub(super) fn close(self) {
        self.tmux(&["kill-server"]);
    }

    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        succeeds(self.command().args(arguments))
    }

    #[track_caller]
    fn command(&self) -> Command {
        let mut command = TMUX.command();
        command.args(["-f", "/dev/null", "-u", "-S"]).arg(self.directory.path().join("socket"));
        command.env_remove("TMUX");
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have been closed before.
        let _ = self.command().arg("kill-server").output();
    }
}
