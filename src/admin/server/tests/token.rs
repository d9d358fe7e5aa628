//! What a token opens, and what is open without it.

use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const TOKEN: &str = "kX3vQ9-not-a-secret-1";

/// A server with a token, and the directory of its file.
fn guarded() -> (Running, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    (Running::start(&loopback(Some(&file)), &[3000]), directory)
}

/// With the Host that a browser sends to a server elsewhere.
fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: proxy.example.com:9900\r\nConnection: close\r\n{headers}\r\n")
}

#[test]
fn nothing_is_told_without_it() {
    let (server, _directory) = guarded();
    let with = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/", "/help", "/stats", "/events", "/history", "/metrics", "/config", "/nothing"] {
        let refused = server.ask(&request("GET", path, ""));
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{path}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{path}");
        assert!(!refused.body.contains("millpond") && !refused.body.contains("web"), "{}", refused.body);
    }
    for path in ["/", "/help", "/stats", "/history", "/metrics", "/config"] {
        assert_eq!(server.ask(&request("GET", path, &with)).status, 200, "{path}");
    }
    assert_eq!(server.ask(&request("GET", "/nothing", &with)).status, 404);
    assert_eq!(server.ask(&request("POST", "/drain", "")).status, 401);
    assert_eq!(server.drains.load(SeqCst), 0);
    let of_a_page = format!("{with}Origin: http://proxy.example.com:9900\r\n");
    assert_eq!(server.ask(&request("POST", "/drain", &of_a_page)).status, 403);
    assert_eq!(server.ask(&request("POST", "/drain", &with)).status, 202);
    assert_eq!(server.drains.load(SeqCst), 1);
}

#[test]
fn probes_and_the_empty_page_are_open() {
    let (server, _directory) = guarded();
    assert_eq!(server.ask(&request("GET", "/livez", "")).status, 200);
    assert_eq!(server.ask(&request("GET", "/readyz", "")).status, 200);
    let page = server.ask(&request("GET", "/", "Accept: text/html\r\n"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(server.ask(&request("GET", "/dashboard/main.js", "")).status, 200);
    assert!(!page.body.contains("127.0.0.1"), "no figure and no address stands in it");
}

#[test]
fn a_wrong_one_is_refused_slowly() {
    let (server, _directory) = guarded();
    let asked = Instant::now();
    let refused = server.ask(&request("GET", "/stats", "Authorization: Bearer kX3vQ9-not-a-secret-2\r\n"));
    assert!(asked.elapsed() >= WRONG_TOKEN_PAUSE, "{:?}", asked.elapsed());
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    // The next one does not wait for anything.
    let asked = Instant::now();
    let served = server.ask(&request("GET", "/livez", "Authorization: Bearer nonsense\r\n"));
    assert_eq!(served.status, 200, "where no token is asked for, none is looked at");
    assert!(asked.elapsed() < WRONG_TOKEN_PAUSE);
}

#[test]
fn it_is_in_no_answer() {
    let (server, directory) = guarded();
    let config = server.ask(&request("GET", "/config", &format!("Authorization: Bearer {TOKEN}\r\n")));
    assert!(!config.body.contains(TOKEN));
    drop(directory);
    assert_eq!(
        server.ask(&request("GET", "/stats", &format!("Authorization: Bearer {TOKEN}\r\n"))).status,
        200,
        "the file is read at the start only"
    );
}
