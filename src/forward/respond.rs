//! What millpond answers by itself: a status, a short body that names the reason, and the label.

use super::failure;
use crate::http1::head::Method;
use crate::reason::RejectReason;
use std::io::Write;
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWrite;

/// A request that is answered here.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Why.
    pub reason: RejectReason,
    /// The request's method; `None` if it was not read that far.
    pub method: Option<Method>,
    /// Whether the client's connection goes on.
    pub persist: bool,
    /// How long the client is asked to wait before it tries again (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Appends the response to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let (status, phrase) = failure::status(self.reason);
        let reason = self.reason.label();
        let body = format!("{status} {phrase}: {reason}\n");
        let date = httpdate::fmt_http_date(SystemTime::now());
        let allow = match self.reason {
            RejectReason::MethodRefused => "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
            _ => "",
        };
        // In whole seconds; less would be too early.
        let retry = self.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let retry = retry.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
        let connection = if self.persist { "" } else { "connection: close\r\n" };
        let shown = if self.method == Some(Method::Head) { "" } else { body.as_str() };
        write!(
            out,
            "HTTP/1.1 {status} {phrase}\r\ndate: {date}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\nx-millpond-reason: {reason}\r\n{allow}{retry}{connection}\r\n{shown}",
            body.len(),
        )
        .expect("a vector takes every byte");
    }
}

/// Writes all of `bytes`; an error means that the client is gone.
pub async fn send<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> std::io::Result<()> {
    let mut sent = 0;
    std::future::poll_fn(|cx| {
        while sent < bytes.len() {
            match std::task::ready!(Pin::new(&mut *writer).poll_write(cx, &bytes[sent..]))? {
                0 => return std::task::Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                count => sent += count,
            }
        }
        std::task::Poll::Ready(Ok(()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::head::{Delivery, HeadLimits, ResponseBody, ResponseContext, ResponseParser, Version};

    fn written(answer: Answer) -> String {
        let mut out = Vec::new();
        answer.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_names_its_reason_twice_and_passes_the_strict_parser() {
        for reason in RejectReason::ALL {
            let text = written(Answer {
                reason: *reason,
                method: Some(Method::Get),
                persist: false,
                retry_after: None,
            });
            assert!(text.contains(&format!("\r\nx-millpond-reason: {reason}\r\n")));
            assert!(text.ends_with(&format!(": {reason}\n")));
            let context = ResponseContext {
                method: Method::Get,
                client: Version::Http11,
                upgrade: false,
                persist: true,
            };
            let limits = HeadLimits { bytes: 4096, fields: 20, target: 0 };
            let head = ResponseParser::default()
                .parse(text.as_bytes(), &limits, &context, &mut Vec::new())
                .unwrap()
                .unwrap();
            assert_eq!(head.body, ResponseBody::Length((text.len() - head.len) as u64));
            assert_eq!((head.delivery, head.keep_alive), (Delivery::AsIs, false));
        }
    }

    #[test]
    fn head_is_answered_without_a_body() {
        let text = written(Answer {
            reason: RejectReason::ConnectFailed,
            method: Some(Method::Head),
            persist: true,
            retry_after: None,
        });
        assert!(text.ends_with("\r\n\r\n") && !text.contains("connection: close"));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        for (wait, told) in [(1, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")] {
            let text = written(Answer {
                reason: RejectReason::RequestRate,
                method: Some(Method::Get),
                persist: true,
                retry_after: Some(Duration::from_millis(wait)),
            });
            assert!(text.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{text}");
            assert!(text.contains(&format!("\r\nretry-after: {told}\r\n")), "{text}");
        }
    }
}
