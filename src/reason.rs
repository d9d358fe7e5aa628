//! Why something was closed, refused or thrown away: one label each, the same in logs, metrics and
//! JSON. Every drop, reject, close and retry carries one of these and is counted under it.

/// Defines an enum whose variants each have one label, a dense index for counter arrays, and a list.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many variants there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label used in logs, metrics, JSON and headers.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// The variant's place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

labels! {
    /// How a client session ended.
    CloseReason {
        /// The client closed an idle connection, or its half after which all was answered.
        ClientFin = "client_fin",
        /// We closed after an exchange that said so (`Connection: close`, an HTTP/1.0 client, an error response).
        Graceful = "graceful",
        /// No request came within `timeout.idle`.
        IdleTimeout = "idle_timeout",
        /// The request head did not arrive within `timeout.header`.
        HeaderTimeout = "header_timeout",
        /// A body stalled for longer than `timeout.body`, in either direction.
        BodyTimeout = "body_timeout",
        /// The client reset the connection.
        ClientReset = "client_reset",
        /// The client closed in the middle of its request, or before its answer where `client_fin` is "abort".
        ClientAborted = "client_aborted",
        /// The request broke a rule of HTTP/1.1; it was answered and the connection closed.
        BadRequest = "bad_request",
        /// The upstream failed in a way after which the client's connection cannot go on.
        UpstreamFailed = "upstream_failed",
        /// A tunnel ended: both sides sent FIN.
        TunnelDone = "tunnel_done",
        /// We reset the connection: by configuration, or to pass on the other side's reset.
        Reset = "reset",
        /// A half-closed peer did not finish within `timeout.half_close`: its other side went on, or took
        /// nothing of what was sent before the FIN.
        HalfCloseDeadline = "half_close_deadline",
        /// The proxy was draining.
        Drain = "drain",
        /// Refused at accept: a limit of connections, their rate, or descriptors.
        Refused = "refused",
        /// The reaper closed it: its client's or its endpoint's socket was stuck in CLOSE_WAIT.
        Reaped = "reaped",
        /// A fault of ours: what served it panicked.
        Panicked = "panicked",
    }
}

labels! {
    /// Why a request was answered by millpond itself, or a TCP session refused: the label in
    /// `x-millpond-reason`, in the access log and in `millpond_rejects_total`.
    RejectReason {
        /// The request line is malformed.
        BadRequestLine = "bad_request_line",
        /// A header field is malformed (name, value, folding, line end).
        BadHeader = "bad_header",
        /// `Host` is missing, repeated or malformed.
        BadHost = "bad_host",
        /// The length of the body is ambiguous or malformed.
        BadFraming = "bad_framing",
        /// A chunk of the request body is malformed.
        BadChunk = "bad_chunk",
        /// Not HTTP/1.0 or HTTP/1.1.
        BadVersion = "bad_version",
        /// `CONNECT`, which a reverse proxy does not serve.
        MethodRefused = "method_refused",
        /// The request head is larger than `limit.header_bytes`, or has more fields than `limit.headers`.
        HeaderTooLarge = "header_too_large",
        /// The request target is longer than `limit.target_bytes`.
        TargetTooLong = "target_too_long",
        /// The request body is larger than `limit.body_bytes`.
        BodyTooLarge = "body_too_large",
        /// The request head did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// The request body stalled.
        BodyTimeout = "body_timeout",
        /// The client closed in the middle of its request.
        ClientAborted = "client_aborted",
        /// No name of the upstream stands for an endpoint now.
        NoEndpoint = "no_endpoint",
        /// The endpoint refused the connection, or it could not be reached.
        ConnectFailed = "connect_failed",
        /// The endpoint did not accept within `timeout.connect`.
        ConnectTimeout = "connect_timeout",
        /// No connection became free within `pool.wait_timeout`.
        PoolTimeout = "pool_timeout",
        /// `pool.wait_queue` was full.
        PoolQueueFull = "pool_queue_full",
        /// No local descriptor was left.
        Descriptors = "descriptors",
        /// No local source port was left for that endpoint, or the source is no address of this host.
        SourcePorts = "source_ports",
        /// The kernel had no memory for another socket, or `runtime.buffer_memory` none for a long head.
        Memory = "memory",
        /// The endpoint closed before it answered.
        UpstreamClosed = "upstream_closed",
        /// The endpoint reset the connection before it answered.
        UpstreamReset = "upstream_reset",
        /// The endpoint's answer broke a rule of HTTP/1.1.
        BadResponse = "bad_response",
        /// The endpoint's response head is larger than the limit.
        ResponseTooLarge = "response_too_large",
        /// The endpoint did not answer within `timeout.response_header`.
        ResponseTimeout = "response_timeout",
        /// The listener's or the client's connection limit was reached.
        ConnectionLimit = "connection_limit",
        /// The client's requests came faster than `limit.request_rate_per_client` allows.
        RequestRate = "request_rate",
        /// The client's connections came faster than `limit.connection_rate_per_client` allows.
        ConnectionRate = "connection_rate",
    }
}

labels! {
    /// Why a connection to an endpoint was closed.
    DiscardReason {
        /// The endpoint sent FIN while the connection was idle.
        EndpointClosed = "endpoint_closed",
        /// The endpoint reset an idle connection.
        EndpointReset = "endpoint_reset",
        /// Bytes arrived on an idle connection, or beyond the end of a response.
        UnexpectedBytes = "unexpected_bytes",
        /// Idle for longer than `pool.idle_timeout`.
        IdleTimeout = "idle_timeout",
        /// Older than `pool.max_age`.
        MaxAge = "max_age",
        /// Used `pool.max_requests` times.
        MaxRequests = "max_requests",
        /// `pool.max_idle` was reached.
        PoolFull = "pool_full",
        /// The response said `Connection: close`, or came from HTTP/1.0, or ended with the connection.
        NotReusable = "not_reusable",
        /// The exchange did not end cleanly: the client left, a deadline passed, a side failed.
        Aborted = "aborted",
        /// The answer came before the request was sent whole.
        EarlyResponse = "early_response",
        /// The connection failed while in use.
        Failed = "failed",
        /// It became a tunnel, which has ended.
        Tunnel = "tunnel",
        /// The proxy was draining.
        Drain = "drain",
        /// It was idle, and another connection needed its descriptor.
        Descriptors = "descriptors",
        /// The reaper closed it: it was stuck in CLOSE_WAIT.
        Reaped = "reaped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_snake_case() {
        let all: [Vec<&str>; 3] = [
            CloseReason::ALL.iter().map(|r| r.label()).collect(),
            RejectReason::ALL.iter().map(|r| r.label()).collect(),
            DiscardReason::ALL.iter().map(|r| r.label()).collect(),
        ];
        for labels in all {
            assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len());
            assert!(labels.iter().all(|l| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        }
    }

    #[test]
    fn index_is_the_place_in_all() {
        for (place, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
    }
}
