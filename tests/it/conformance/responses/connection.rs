//! What a backend says of its connection, and of one hop (RFC 9110 section 7.6.1, RFC 9112 section 9).

use crate::conformance::case::Delivery::{Condemned, Kept, Last};
use crate::conformance::case::{Response, response};

#[rustfmt::skip]
pub(super) const CASES: &[Response] = &[
    response("close", "RFC 9112 9.6: the client's connection is another",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        Condemned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("close_and_keep_alive", "RFC 9112 9.3",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: CLOSE\r\nContent-Length: 2\r\n\r\nok",
        Condemned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("keep_alive", "RFC 9112 9.3",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("http_1_0_with_keep_alive", "RFC 9112 9.3",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("the_client_wants_to_close", "RFC 9112 9.6: the backend's connection is another",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Last("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")).to("{get}Connection: close\r\n\r\n"),
    response("the_client_is_of_http_1_0", "RFC 9112 9.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Last("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")).to("GET / HTTP/1.0\r\n\r\n"),
    response("what_it_names_goes_no_further", "RFC 9110 7.6.1",
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nx-mine: 2\r\nX-Kept: 3\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nX-Kept: 3\r\nContent-Length: 0\r\n\r\n")),
    response("it_names_content_length", "RFC 9110 7.6.1: not to be named",
        "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("it_names_transfer_encoding", "RFC 9110 7.6.1",
        "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    response("it_names_what_is_for_the_client", "RFC 9110 7.6.1: not to be named",
        "HTTP/1.1 200 OK\r\nConnection: Set-Cookie, Cache-Control, Location, Vary\r\nSet-Cookie: a\r\nCache-Control: private\r\nLocation: /\r\nVary: *\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nCache-Control: private\r\nLocation: /\r\nVary: *\r\nContent-Length: 0\r\n\r\n")),
    response("what_is_for_one_hop_without_being_named", "RFC 9110 7.6.1",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTE: x\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
    response("a_trailer_field_without_chunks", "RFC 9110 6.6.2: none can follow",
        "HTTP/1.1 200 OK\r\nTrailer: A\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
];
