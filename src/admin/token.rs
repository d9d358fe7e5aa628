//! The token that opens the admin server, and the file that it comes from.

use hyper::header::HeaderValue;
use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The fewest characters: 16 of base64 are 96 bits, which nobody guesses over a network.
const LENGTH_MIN: usize = 16;
/// The most; a request head is not much longer.
const LENGTH_MAX: usize = 4096;

/// A secret that requests carry as `Authorization: Bearer` (RFC 6750 section 2.1). It is in no log,
/// in no answer and in no error.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a file is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is missing, or may not be read.
    #[error("the token file {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// It is too easily guessed.
    #[error(
        "the token in {} has {length} characters, and needs {LENGTH_MIN} at least; \
         `openssl rand -hex 32` makes a good one", path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Characters there are.
        length: usize,
    },
    /// It could not be sent as it stands.
    #[error(
        "{} holds no token: one line of at most {LENGTH_MAX} characters is wanted, of visible ASCII \
         without a space", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// What a request may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    /// No token came.
    Missing,
    /// One came that is not ours.
    Wrong,
}

impl Token {
    /// Reads the first and only line of a file. A file that everybody on this host may read is used
    /// and warned of.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |error| TokenError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o007 != 0 {
            let mode = format_args!("{:04o}", mode & 0o7777);
            tracing::warn!(file = %path.display(), %mode, "every user of this host may use the admin token; chmod 600");
        }
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX as u64 + 2).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::parse(bytes, path)
    }

    fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, TokenError> {
        let malformed = || TokenError::Malformed { path: path.to_owned() };
        let text = String::from_utf8(bytes).map_err(|_| malformed())?;
        let token = text.strip_suffix('\n').unwrap_or(&text);
        let token = token.strip_suffix('\r').unwrap_or(token);
        if token.len() > LENGTH_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed());
        }
        if token.len() < LENGTH_MIN {
            return Err(TokenError::Short { path: path.to_owned(), length: token.len() });
        }
        Ok(Self(token.to_owned()))
    }

    /// The value of `Authorization` that opens the admin server.
    pub fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("visible ASCII, which a field value may hold");
        value.set_sensitive(true);
        value
    }

    /// Judges a request by all of its `Authorization` fields.
    pub(super) fn judge<'a>(&self, mut fields: impl Iterator<Item = &'a HeaderValue>) -> Access {
        let Some(field) = fields.next() else { return Access::Missing };
        let mut parts = field.as_bytes().splitn(2, |byte| *byte == b' ');
        let is_bearer = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
        let credentials = parts.next().unwrap_or_default().trim_ascii();
        let ours = same(credentials, self.0.as_bytes()) && is_bearer;
        if ours && fields.next().is_none() { Access::Granted } else { Access::Wrong }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Compares in a time that tells the length of the token and nothing of its characters.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differing = given.iter().zip(token).fold(0, |bits, (one, other)| black_box(bits | (one ^ other)));
    given.len() == token.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    const TOKEN: &str = "0123456789abcdef";

    fn parse(text: &str) -> Result<Token, TokenError> {
        Token::parse(text.as_bytes().to_vec(), Path::new("/t"))
    }

    #[test]
    fn a_file_holds_one_line() {
        for text in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
            assert_eq!(parse(&text).unwrap().0, TOKEN);
        }
        for text in
            [format!("{TOKEN}\n\n"), format!("{TOKEN} {TOKEN}"), format!(" {TOKEN}"), format!("ü{TOKEN}")]
        {
            assert!(matches!(parse(&text), Err(TokenError::Malformed { .. })), "{text:?}");
        }
        assert!(parse(&"a".repeat(LENGTH_MAX)).is_ok());
        assert!(matches!(parse(&"a".repeat(LENGTH_MAX + 1)), Err(TokenError::Malformed { .. })));
        for text in ["", "\n", &TOKEN[1..]] {
            assert!(matches!(parse(text), Err(TokenError::Short { .. })), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_file_and_never_the_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let missing = Token::read(&path).unwrap_err().to_string();
        assert!(missing.contains(path.to_str().unwrap()) && missing.contains("No such file"), "{missing}");
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let short = Token::read(&path).unwrap_err().to_string();
        assert!(short.contains("has 6 characters, and needs 16") && !short.contains("secret"), "{short}");
        fs::write(&path, "a secret with spaces\n").unwrap();
        let malformed = Token::read(&path).unwrap_err().to_string();
        assert!(malformed.contains(path.to_str().unwrap()) && !malformed.contains("secret"), "{malformed}");
        fs::write(&path, "x".repeat(1 << 20)).unwrap();
        assert!(matches!(Token::read(&path), Err(TokenError::Malformed { .. })));
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = parse(TOKEN).unwrap();
        let judge = |fields: &[&str]| {
            let fields: Vec<_> = fields.iter().map(|field| HeaderValue::from_str(field).unwrap()).collect();
            token.judge(fields.iter())
        };
        assert_eq!(judge(&[]), Access::Missing);
        for right in [format!("Bearer {TOKEN}"), format!("bEARER  {TOKEN} ")] {
            assert_eq!(judge(&[&right]), Access::Granted, "{right}");
        }
        for wrong in [
            TOKEN.to_owned(),
            format!("Basic {TOKEN}"),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Bearer {TOKEN}0"),
            format!("Bearer {}", &TOKEN[1..]),
            format!("Bearer {}", TOKEN.to_uppercase()),
            format!("Bearer {}", TOKEN.replace('f', "g")),
            format!("Bearer {}", TOKEN.replace('0', "1")),
        ] {
            assert_eq!(judge(&[&wrong]), Access::Wrong, "{wrong}");
        }
        let right = format!("Bearer {TOKEN}");
        assert_eq!(judge(&[&right, &right]), Access::Wrong, "which of two is meant is not to be guessed");
    }

    #[test]
    fn what_is_sent_opens_and_is_not_shown() {
        let token = parse(TOKEN).unwrap();
        assert_eq!(token.judge([&token.authorization()].into_iter()), Access::Granted);
        assert!(!format!("{token:?} {:?}", token.authorization()).contains(TOKEN));
    }
}
