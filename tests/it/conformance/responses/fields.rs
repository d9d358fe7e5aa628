//! Field lines of responses (RFC 9112 section 5): one more line than was meant splits a response.

use crate::conformance::case::Delivery::{Condemned, Kept, Refused};
use crate::conformance::case::{Response, response};

const BAD: &str = "bad_response";

#[rustfmt::skip]
pub(super) const CASES: &[Response] = &[
    response("order_case_and_repetition_are_kept", "RFC 9110 5.3",
        "HTTP/1.1 200 OK\r\nb: 1\r\nSet-Cookie: a\r\nA: 2\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nb: 1\r\nSet-Cookie: a\r\nA: 2\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n")),
    response("blanks_around_values", "RFC 9112 5",
        "HTTP/1.1 200 OK\r\nA:b\r\nC: \t d e \t\r\nE:\r\nContent-Length:0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nA: b\r\nC: d e\r\nE: \r\nContent-Length: 0\r\n\r\n")),
    response("a_value_beyond_ascii", "RFC 9110 5.5: obs-text is opaque",
        "HTTP/1.1 200 OK\r\nA: caf\u{e9}{ff}\u{560a}\r\nContent-Length: 0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nA: caf\u{e9}{ff}\u{560a}\r\nContent-Length: 0\r\n\r\n")),
    response("a_head_that_ends_in_its_midst", "RFC 9112 6.3: what follows is no response to anybody",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLocation: /\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninjected",
        Condemned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLocation: /\r\n\r\n")),
    response("a_bare_lf_in_a_value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\nSet-Cookie: c\r\n\r\n", Refused(BAD)),
    response("a_bare_cr_in_a_value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\rSet-Cookie: c\r\n\r\n", Refused(BAD)),
    response("a_nul_in_a_value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\0c\r\n\r\n", Refused(BAD)),
    response("an_escape_in_a_value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \x1b[2J\r\n\r\n", Refused(BAD)),
    response("a_delete_in_a_value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \x7f\r\n\r\n", Refused(BAD)),
    response("two_crs_behind_a_value", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\r\n\r\n", Refused(BAD)),
    response("two_crs_as_the_empty_line", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\r\n\r\n", Refused(BAD)),
    response("a_bare_lf_as_the_empty_line", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", Refused(BAD)),
    response("folded", "RFC 9112 5.2: 502 is one of the choices", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\n c\r\n\r\n", Refused(BAD)),
    response("folded_with_a_tab", "RFC 9112 5.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\n\tc\r\n\r\n", Refused(BAD)),
    response("a_blank_before_the_first", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("a_blank_before_the_colon", "RFC 9112 5.1", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("no_colon", "RFC 9112 5", "HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("no_name", "RFC 9112 5", "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("a_blank_in_a_name", "RFC 9110 5.1", "HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("a_name_beyond_ascii", "RFC 9110 5.1", "HTTP/1.1 200 OK\r\n\u{e9}: c\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("a_nul_in_a_name", "RFC 9110 5.1", "HTTP/1.1 200 OK\r\nA\0: c\r\nContent-Length: 0\r\n\r\n", Refused(BAD)),
    response("as_many_as_are_allowed", "RFC 9110 5.4",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{A: b\r\n*255}\r\n",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{A: b\r\n*255}\r\n")),
    response("more_than_are_allowed", "RFC 9110 5.4", "HTTP/1.1 200 OK\r\n{A: b\r\n*300}\r\n", Refused("response_too_large")),
    response("a_value_that_is_too_long", "RFC 9110 5.4", "HTTP/1.1 200 OK\r\nA: {b*70000}\r\n\r\n", Refused("response_too_large")),
];
