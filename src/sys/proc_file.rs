//! Files of /proc, whose errors name the file.

use std::path::Path;
use std::{fs, io};

/// Reads a file and parses it.
pub(super) fn read<T>(path: &str, parse: impl Fn(&str) -> Option<T>) -> io::Result<T> {
    let text = text_of(path)?;
    parse(&text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{path}: not understood: {:?}", text.trim_end()))
    })
}

/// What is in a file.
pub(super) fn text_of(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| named(path, &error))
}

/// The error, with the file's name.
pub(super) fn named(path: impl AsRef<Path>, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.as_ref().display()))
}
