//! How long a response is (RFC 9112 section 6).

use crate::conformance::case::Delivery::{Broken, Kept, Refused};
use crate::conformance::case::{Response, response};

const BAD: &str = "bad_response";

#[rustfmt::skip]
pub(super) const CASES: &[Response] = &[
    response("a_length", "RFC 9112 6.2",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234")),
    response("leading_zeros", "RFC 9110 8.6",
        "HTTP/1.1 200 OK\r\nContent-Length: 0005\r\n\r\n01234",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234")),
    response("chunks", "RFC 9112 7.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n")),
    response("chunked_in_upper_case", "RFC 9112 7",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        Kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    response("a_length_written_with_an_underscore", "RFC 3875 4.1.18: it does not count, and is not passed on",
        "HTTP/1.1 200 OK\r\nContent_Length: 9\r\nContent-Length: 2\r\n\r\nok",
        Kept("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    response("chunks_and_a_length", "RFC 9112 6.3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("a_length_and_chunks", "RFC 9112 6.3", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("two_lengths_that_differ", "RFC 9112 6.3", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n012345", Refused(BAD)),
    response("two_lengths_that_agree", "RFC 9112 6.3: may be refused", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n01234", Refused(BAD)),
    response("a_list_of_lengths", "RFC 9112 6.3", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n01234", Refused(BAD)),
    response("a_length_with_a_plus_sign", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n01234", Refused(BAD)),
    response("a_length_with_a_minus_sign", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n01234", Refused(BAD)),
    response("a_hexadecimal_length", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n01234", Refused(BAD)),
    response("an_empty_length", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Refused(BAD)),
    response("a_length_that_nobody_can_count", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\n01234", Refused(BAD)),
    response("a_length_with_a_blank_before_the_colon", "RFC 9112 5.1", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n01234", Refused(BAD)),
    response("another_coding", "RFC 9112 6.1: nobody has asked for it", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n01234", Refused(BAD)),
    response("another_coding_first", "RFC 9112 6.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("chunked_is_not_the_last", "RFC 9112 6.3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("identity", "RFC 9112 7", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Refused(BAD)),
    response("chunked_twice", "RFC 9112 6.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("chunks_of_http_1_0", "RFC 9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("chunked_with_a_vertical_tab", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(BAD)),
    response("a_chunk_without_a_size", "RFC 9112 7.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_chunk_with_0x", "RFC 9112 7.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_chunk_whose_size_overflows", "RFC 9112 7.1.3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_chunk_with_a_bare_lf", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_chunk_that_is_longer_than_its_size", "RFC 9112 7.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_chunk_with_nothing_behind_it", "RFC 9112 7.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n012340\r\n\r\n", Broken(BAD)),
    response("an_extension_with_a_bare_lf", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\n\r\n01234\r\n0\r\n\r\n", Broken(BAD)),
    response("a_trailer_that_is_none", "RFC 9112 7.1.2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\n\r\n", Broken(BAD)),
    response("a_response_in_the_place_of_trailers", "RFC 9112 7.1.2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Broken(BAD)),
];
