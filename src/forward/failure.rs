//! What can go wrong in an exchange, and what follows from it: one exhaustive match (pure).

use crate::reason::{CloseReason, DiscardReason, RejectReason};

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request's body breaks a rule or a limit.
    BadRequestBody(RejectReason),
    /// The client closed in the middle of its request.
    ClientAborted,
    /// The client sent FIN before its answer came, and the listener takes that for leaving.
    ClientLeft,
    /// The client reset the connection, or a write to it failed.
    ClientReset,
    /// The client sent nothing more of its request's body in time.
    ClientSilent,
    /// The client took nothing more of the response in time.
    ClientStalled,
    /// One side had sent FIN, and the exchange was not over in time.
    HalfCloseDeadline,
    /// The endpoint closed before a byte of its response.
    EndpointClosed,
    /// The endpoint reset the connection before a byte of its response.
    EndpointReset,
    /// The endpoint took nothing more of the request in time.
    EndpointStalled,
    /// No response head came in time.
    EndpointSilent,
    /// The response breaks a rule or a limit.
    BadResponse(RejectReason),
    /// The endpoint closed, reset or went silent in the middle of its response.
    ResponseCut,
}

/// What follows from a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the client is answered, as long as it has not seen a byte of a response.
    pub answer: Option<RejectReason>,
    /// Why the client's connection ends, if it does.
    pub close: CloseReason,
    /// Whether the client's connection may go on once it is answered.
    pub client_is_sound: bool,
    /// Why the connection to the endpoint is closed.
    pub discard: DiscardReason,
    /// Whether it may have been a stale connection, so that another may do better.
    pub maybe_stale: bool,
}

impl Failure {
    /// What follows.
    pub fn verdict(self) -> Verdict {
        use {CloseReason as Close, DiscardReason as Discard, RejectReason as Reject};
        let (answer, close, client_is_sound, discard, maybe_stale) = match self {
            Self::BadRequestBody(reason) => (Some(reason), Close::BadRequest, false, Discard::Aborted, false),
            Self::ClientAborted => {
                (Some(Reject::ClientAborted), Close::ClientAborted, false, Discard::Aborted, false)
            }
            Self::ClientLeft => (None, Close::ClientAborted, false, Discard::Aborted, false),
            Self::ClientReset => (None, Close::ClientReset, false, Discard::Aborted, false),
            Self::ClientSilent => {
                (Some(Reject::BodyTimeout), Close::BodyTimeout, false, Discard::Aborted, false)
            }
            Self::ClientStalled => (None, Close::BodyTimeout, false, Discard::Aborted, false),
            Self::HalfCloseDeadline => (None, Close::HalfCloseDeadline, false, Discard::Aborted, false),
            Self::EndpointClosed => {
                (Some(Reject::UpstreamClosed), Close::UpstreamFailed, true, Discard::EndpointClosed, true)
            }
            Self::EndpointReset => {
                (Some(Reject::UpstreamReset), Close::UpstreamFailed, true, Discard::EndpointReset, true)
            }
            Self::EndpointStalled | Self::EndpointSilent => {
                (Some(Reject::ResponseTimeout), Close::UpstreamFailed, true, Discard::Failed, false)
            }
            Self::BadResponse(reason) => (Some(reason), Close::UpstreamFailed, true, Discard::Failed, false),
            Self::ResponseCut => {
                (Some(Reject::UpstreamClosed), Close::UpstreamFailed, true, Discard::Failed, false)
            }
        };
        Verdict { answer, close, client_is_sound, discard, maybe_stale }
    }
}

/// The status that a request is answered with (RFC 9110 section 15), and its reason phrase.
pub fn status(reason: RejectReason) -> (u16, &'static str) {
    use RejectReason as Reject;
    match reason {
        Reject::BadRequestLine
        | Reject::BadHeader
        | Reject::BadHost
        | Reject::BadFraming
        | Reject::BadChunk
        | Reject::ClientAborted => (400, "Bad Request"),
        Reject::MethodRefused => (405, "Method Not Allowed"),
        Reject::HeaderTimeout | Reject::BodyTimeout => (408, "Request Timeout"),
        Reject::BodyTooLarge => (413, "Content Too Large"),
        Reject::TargetTooLong => (414, "URI Too Long"),
        Reject::HeaderTooLarge => (431, "Request Header Fields Too Large"),
        Reject::RequestRate | Reject::ConnectionRate => (429, "Too Many Requests"),
        Reject::ConnectFailed
        | Reject::UpstreamClosed
        | Reject::UpstreamReset
        | Reject::BadResponse
        | Reject::ResponseTooLarge => (502, "Bad Gateway"),
        Reject::NoEndpoint
        | Reject::PoolTimeout
        | Reject::PoolQueueFull
        | Reject::Descriptors
        | Reject::SourcePorts
        | Reject::Memory
        | Reject::ConnectionLimit => (503, "Service Unavailable"),
        Reject::ConnectTimeout | Reject::ResponseTimeout => (504, "Gateway Timeout"),
        Reject::BadVersion => (505, "HTTP Version Not Supported"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Failure; 13] = [
        Failure::BadRequestBody(RejectReason::BadChunk),
        Failure::ClientAborted,
        Failure::ClientLeft,
        Failure::ClientReset,
        Failure::ClientSilent,
        Failure::ClientStalled,
        Failure::HalfCloseDeadline,
        Failure::EndpointClosed,
        Failure::EndpointReset,
        Failure::EndpointStalled,
        Failure::EndpointSilent,
        Failure::BadResponse(RejectReason::BadResponse),
        Failure::ResponseCut,
    ];

    #[test]
    fn a_request_that_was_not_read_whole_ends_the_clients_connection() {
        let broken = [
            Failure::BadRequestBody(RejectReason::BadChunk),
            Failure::ClientAborted,
            Failure::ClientReset,
            Failure::ClientSilent,
        ];
        assert!(broken.iter().all(|failure| !failure.verdict().client_is_sound));
    }

    #[test]
    fn only_a_connection_that_ended_before_the_response_may_have_been_stale() {
        let stale: Vec<_> = ALL.iter().filter(|failure| failure.verdict().maybe_stale).collect();
        assert_eq!(stale, [&Failure::EndpointClosed, &Failure::EndpointReset]);
    }

    #[test]
    fn every_answer_has_an_error_status() {
        for reason in RejectReason::ALL {
            assert!((400..600).contains(&status(*reason).0), "{reason}");
        }
    }
}
