//! Command lines of `--name value` pairs and bare `--name` flags.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;
use std::str::FromStr;

/// Why a program ends without a result.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit status 2.
    Usage(String),
    /// The work failed: exit status 1.
    Work(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Work(error.to_string())
    }
}

/// Runs a program with its command line and turns the outcome into an exit status.
///
/// The program returns whether all went well; `--help` prints `usage`.
pub fn run(usage: &str, program: impl FnOnce(Args) -> Result<bool, Failure>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    match program(Args { words }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Work(message)) => {
            eprintln!("{message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("{message}\n\n{usage}");
            ExitCode::from(2)
        }
    }
}

/// The words of a command line that nothing has asked for yet.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Whether `--name` is given, with a value or without; it is left for later.
    pub fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }

    /// Whether the bare `--name` is given.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.inspect(|&at| drop(self.words.remove(at))).is_some()
    }

    /// The value after `--name`, or `default` where the name is not given.
    pub fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, Failure> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// The value after `--name`, if the name is given.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        self.words.remove(at);
        if at == self.words.len() {
            return Err(Failure::Usage(format!("{name} needs a value")));
        }
        let word = self.words.remove(at);
        let value = word.parse().map_err(|_| Failure::Usage(format!("{name}: cannot read {word:?}")))?;
        Ok(Some(value))
    }

    /// The whole number after `--name`, at least 1.
    pub fn count(&mut self, name: &str, default: usize) -> Result<usize, Failure> {
        match self.value(name, default)? {
            0 => Err(Failure::Usage(format!("{name} must be at least 1"))),
            count => Ok(count),
        }
    }

    /// The loopback address and port after `--name`; every other address is refused, so that a slip
    /// of the pen never becomes a load on somebody's network.
    pub fn loopback(&mut self, name: &str) -> Result<SocketAddrV4, Failure> {
        let address: Option<SocketAddrV4> = self.optional(name)?;
        let address = address.ok_or_else(|| Failure::Usage(format!("{name} 127.0.0.1:PORT is required")))?;
        if !address.ip().is_loopback() {
            return Err(Failure::Usage(format!("{name}: {address} is not a loopback address")));
        }
        Ok(address)
    }

    /// Ends the reading: whatever is left was not understood.
    pub fn finish(self) -> Result<(), Failure> {
        match self.words.first() {
            Some(word) => Err(Failure::Usage(format!("unknown argument {word:?}"))),
            None => Ok(()),
        }
    }
}

/// The `index`-th of `count` (at most 250) loopback source addresses, from 127.0.0.1 on and round
/// again; with one alone the choice is left to the kernel.
pub fn loopback_source(index: usize, count: usize) -> Option<Ipv4Addr> {
    (count > 1).then(|| Ipv4Addr::new(127, 0, 0, (index % count.min(250)) as u8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args { words: line.split_whitespace().map(String::from).collect() }
    }

    #[test]
    fn values_flags_and_defaults() {
        let mut args = args("--clients 8 --reconnect --target 127.0.0.9:80");
        assert_eq!(args.count("--clients", 1).unwrap(), 8);
        assert_eq!(args.value("--body", 128).unwrap(), 128);
        assert!(args.flag("--reconnect") && !args.flag("--reconnect"));
        assert_eq!(args.loopback("--target").unwrap(), "127.0.0.9:80".parse().unwrap());
        args.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_a_usage_error() {
        for (line, part) in [
            ("--target 192.0.2.1:80", "not a loopback"),
            ("--target nonsense", "cannot read"),
            ("--target", "needs a value"),
            ("", "required"),
        ] {
            let error = args(line).loopback("--target").unwrap_err();
            assert!(matches!(&error, Failure::Usage(text) if text.contains(part)), "{line}: {error:?}");
        }
        assert!(args("--clients 0").count("--clients", 1).is_err());
        assert!(args("--unheard-of").finish().is_err());
    }

    #[test]
    fn sources_stay_in_loopback() {
        assert_eq!(loopback_source(7, 1), None);
        assert!((0..2000).all(|i| loopback_source(i, 999).unwrap().is_loopback()));
        assert_eq!(loopback_source(3, 3), Some(Ipv4Addr::LOCALHOST));
    }
}
