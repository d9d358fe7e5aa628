//! One request to the admin server of a running instance.

use super::args::{AdminTarget, Instance};
use crate::admin::{Token, TokenError};
use crate::config::load::process_variable;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// For the whole request: the instance is on this host, and answers from memory.
const DEADLINE: Duration = Duration::from_secs(5);

/// The same for an order, which may have to wait for another.
const ORDER_DEADLINE: Duration = Duration::from_secs(60);

/// Names the file with the token, as it does for the instance itself.
const TOKEN_FILE: &str = "MILLPOND_ADMIN_TOKEN_FILE";

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// Nothing could be reached there.
    #[error(
        "no millpond answers at {target} ({why}); is it running? --admin says where its admin server listens"
    )]
    NotThere { target: AdminTarget, why: io::Error },
    /// The file with the token is missing, or holds none.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// It wants a token, or another one.
    #[error("{target} answers 401 Unauthorized: {}; --token-file names the file with its token", text.trim_end())]
    Unauthorised { target: AdminTarget, text: String },
    /// It said no.
    #[error("{target} answers {status} to {asked}: {}", text.trim_end())]
    Status { target: AdminTarget, asked: Asked, status: StatusCode, text: String },
    /// It broke off, or does not speak HTTP.
    #[error("{target} does not answer {asked} properly: {why}")]
    Broken { target: AdminTarget, asked: Asked, why: String },
}

impl FetchError {
    /// Whether nobody listens there, as opposed to somebody who does not answer.
    pub(super) fn is_nobody(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Self::NotThere { why, .. } if [ConnectionRefused, NotFound].contains(&why.kind()))
    }
}

/// What is asked for, without a body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    method: Method,
    path: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// The body of a 2xx answer.
pub(super) fn get(instance: &Instance, path: &str) -> Result<Bytes, FetchError> {
    ask(&instance.admin, token(instance)?, Asked { method: Method::GET, path: path.to_owned() })
}

/// The same of what is open to everybody, for which no token is looked for.
pub(super) fn probe(target: &AdminTarget, path: &str) -> Result<Bytes, FetchError> {
    ask(target, None, Asked { method: Method::GET, path: path.to_owned() })
}

/// Has it do something; the body of a 2xx answer.
pub(super) fn post(instance: &Instance, path: &str) -> Result<Bytes, FetchError> {
    ask(&instance.admin, token(instance)?, Asked { method: Method::POST, path: path.to_owned() })
}

/// Has it do something that it may refuse with reasons, and that may have to wait for another; whatever it
/// answers.
pub(super) fn order(instance: &Instance, path: &str) -> Result<(StatusCode, Bytes), FetchError> {
    let asked = Asked { method: Method::POST, path: path.to_owned() };
    answer(&instance.admin, token(instance)?, &asked, ORDER_DEADLINE)
}

fn ask(target: &AdminTarget, token: Option<Token>, asked: Asked) -> Result<Bytes, FetchError> {
    let (status, body) = answer(target, token, &asked, DEADLINE)?;
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    Err(FetchError::Status { target: target.clone(), asked, status, text })
}

fn answer(
    target: &AdminTarget,
    token: Option<Token>,
    asked: &Asked,
    deadline: Duration,
) -> Result<(StatusCode, Bytes), FetchError> {
    let there = |why: io::Error| FetchError::NotThere { target: target.clone(), why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(there)?;
    runtime.block_on(async {
        let late = || there(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        timeout(deadline, exchange(target, token.as_ref(), asked)).await.unwrap_or_else(|_| Err(late()))
    })
}

/// Empty counts as unset, as for the instance.
fn token(instance: &Instance) -> Result<Option<Token>, FetchError> {
    let variable = || process_variable(TOKEN_FILE).filter(|file| !file.is_empty()).map(PathBuf::from);
    let file = instance.token_file.clone().or_else(variable);
    Ok(file.map(|file| Token::read(&file)).transpose()?)
}

async fn exchange(
    target: &AdminTarget,
    token: Option<&Token>,
    asked: &Asked,
) -> Result<(StatusCode, Bytes), FetchError> {
    let there = |why: io::Error| FetchError::NotThere { target: target.clone(), why };
    let (status, body) = match target {
        AdminTarget::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(there)?;
            request(stream, address, token, asked).await
        }
        AdminTarget::Unix(file) => {
            let stream = UnixStream::connect(file).await.map_err(there)?;
            request(stream, "localhost", token, asked).await
        }
    }
    .map_err(|error| FetchError::Broken {
        target: target.clone(),
        asked: asked.clone(),
        why: format!("{error:#}"),
    })?;
    if status == StatusCode::UNAUTHORIZED {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(FetchError::Unauthorised { target: target.clone(), text });
    }
    Ok((status, body))
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    token: Option<&Token>,
    Asked { method, path }: &Asked,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request =
        Request::builder().method(method).uri(path.as_str()).header(HOST, host).body(Empty::<Bytes>::new())?;
    if let Some(token) = token {
        request.headers_mut().insert(AUTHORIZATION, token.authorization());
    }
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection is only what drives the exchange: the exchange knows how it ended.
        _ = &mut connection => answer.await,
    }
}
