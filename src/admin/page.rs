//! `GET /` for browsers: the dashboard, which is part of the program. It asks nobody but this server
//! for anything, and there is no figure in it: those it fetches from `/events` and `/history`.

use super::reply::{Reply, whole};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};

/// What the page may do: load its own script and style, and talk to its own server. It cannot be
/// framed, and none of its scripts can make markup of a text (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// One file of the page.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal, $content_type:literal) => {
        File {
            path: concat!("/dashboard/", $name),
            content_type: concat!($content_type, "; charset=utf-8"),
            text: include_str!(concat!("dashboard/", $name)),
        }
    };
}

const PAGE: &str = include_str!("dashboard/index.html");
const FILES: &[File] = &[
    file!("dashboard.css", "text/css"),
    file!("main.js", "text/javascript"),
    file!("attention.js", "text/javascript"),
    file!("cells.js", "text/javascript"),
    file!("chart.js", "text/javascript"),
    file!("dom.js", "text/javascript"),
    file!("endpoints.js", "text/javascript"),
    file!("format.js", "text/javascript"),
    file!("history.js", "text/javascript"),
    file!("recent.js", "text/javascript"),
    file!("states.js", "text/javascript"),
    file!("stream.js", "text/javascript"),
    file!("subject.js", "text/javascript"),
    file!("tables.js", "text/javascript"),
    file!("tiles.js", "text/javascript"),
];

/// The page, or one of its files; `None`: something else is asked for.
pub(super) fn answer<B>(request: &Request<B>) -> Option<Reply> {
    let path = request.uri().path();
    let (content_type, text) = match path {
        "/" if prefers_html(request) => ("text/html; charset=utf-8", PAGE),
        _ => FILES.iter().find(|file| file.path == path).map(|file| (file.content_type, file.text))?,
    };
    let mut reply = whole(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Some(reply)
}

/// Browsers name `text/html`; curl and scripts accept anything, and get a list that reads well in a
/// terminal.
fn prefers_html<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &str) -> Request<()> {
        Request::get("/").header(header::ACCEPT, accept).body(()).unwrap()
    }

    #[test]
    fn browsers_get_the_page_and_others_do_not() {
        for browser in
            ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json, Text/HTML;q=0.5"]
        {
            assert!(answer(&accepting(browser)).is_some(), "{browser}");
        }
        for other in ["*/*", "text/plain", "text/*", "application/json", ""] {
            assert!(answer(&accepting(other)).is_none(), "{other}");
        }
        assert!(answer(&Request::get("/").body(()).unwrap()).is_none());
    }

    /// Whatever the page refers to is one of its files, and nothing in it would break its own policy.
    #[test]
    fn the_page_is_complete_and_asks_nobody_else() {
        let texts: Vec<&str> = FILES.iter().map(|file| file.text).chain([PAGE]).collect();
        for reference in
            PAGE.split("src=\"").skip(1).chain(PAGE.split("<link rel=\"stylesheet\" href=\"").skip(1))
        {
            let path = reference.split('"').next().unwrap();
            assert!(FILES.iter().any(|file| file.path == path), "{path}");
        }
        for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
            for imported in file.text.split("from \"./").skip(1) {
                let path = format!("/dashboard/{}", imported.split('"').next().unwrap());
                assert!(FILES.iter().any(|file| file.path == path), "{} imports {path}", file.path);
            }
        }
        for text in texts {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "@import",
                "style=\"",
                "onclick=",
                "<script>",
                "<style>",
            ] {
                assert!(!text.contains(forbidden), "{forbidden}");
            }
            let elsewhere = |at: &str| !at.starts_with("www.w3.org/2000/svg");
            assert!(!text.split("http://").skip(1).any(elsewhere) && !text.contains("https://"), "a URL");
        }
    }
}
