//! Bytes behind a response: nobody's, and the end of the connection that they came on (RFC 9112 section 6.3).

use crate::conformance::case::After::{Fin, Late};
use crate::conformance::case::Delivery::Condemned;
use crate::conformance::case::{Response, response};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

#[rustfmt::skip]
pub(super) const CASES: &[Response] = &[
    response("a_byte", "RFC 9112 6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokx", Condemned(OK)),
    response("an_empty_line", "RFC 9112 2.2: for requests alone",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", Condemned(OK)),
    response("a_response", "RFC 9112 9.3.2: to a request that was not sent",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Condemned(OK)),
    response("a_response_behind_chunks", "RFC 9112 9.3.2",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Condemned(CHUNKED)),
    response("an_interim_response", "RFC 9110 15.2",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 100 Continue\r\n\r\n", Condemned(OK)),
    response("a_response_behind_a_length_of_zero", "RFC 9112 6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Condemned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
    response("a_response_behind_204", "RFC 9112 6.3",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Condemned("HTTP/1.1 204 No Content\r\n\r\n")),
    response("a_response_behind_304", "RFC 9112 6.3",
        "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Condemned("HTTP/1.1 304 Not Modified\r\n\r\n")),
    response("a_response_behind_that_to_head", "RFC 9112 6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Condemned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")).to("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n"),
    response("a_second_end_of_chunks", "RFC 9112 7.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n", Condemned(CHUNKED)),
    response("more_than_a_read_takes", "RFC 9112 6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{evil*10000}", Condemned(OK)),
    response("a_byte_while_it_is_idle", "RFC 9112 9.3.2", OK, Condemned(OK)).and(Late("x")),
    response("a_response_while_it_is_idle", "RFC 9112 9.3.2: to nobody's request",
        OK, Condemned(OK)).and(Late("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")),
    response("a_408_while_it_is_idle", "RFC 9110 15.5.9: as browsers' servers say before they close",
        OK, Condemned(OK)).and(Late("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
    response("a_body_of_204_while_it_is_idle", "RFC 9112 6.3",
        "HTTP/1.1 204 No Content\r\n\r\n", Condemned("HTTP/1.1 204 No Content\r\n\r\n")).and(Late("01234")),
    response("fin_behind_a_response", "RFC 9112 9.6", OK, Condemned(OK)).and(Fin),
    response("a_byte_and_fin", "RFC 9112 9.6",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokx", Condemned(OK)).and(Fin),
];
