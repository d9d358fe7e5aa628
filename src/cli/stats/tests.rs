use super::*;
use crate::cli::args::Instance;
use crate::metrics::host::Host;
use crate::observe::fixture;
use std::io::Read;
use std::net::TcpListener;
use std::thread;

/// Where one connection is answered with these bytes and closed.
fn answering(answer: Vec<u8>) -> AdminTarget {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"GET /stats HTTP/1.1\r\nhost: 127.0.0.1:"), "{head:?}");
        stream.write_all(&answer).unwrap();
    });
    AdminTarget::Tcp(address.to_string())
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn run(admin: AdminTarget, json: bool) -> Result<String, String> {
    let mut out = Vec::new();
    let instance = Instance { admin, token_file: None };
    match stats(&StatsArgs { instance, json }, &mut out) {
        Ok(0) => Ok(String::from_utf8(out).unwrap()),
        Ok(code) => panic!("exit code {code}"),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[test]
fn json_is_printed_as_it_came() {
    let body = "{ \"anything\":  [1] }\n";
    assert_eq!(run(answering(http("200 OK", body)), true).unwrap(), body);
}

#[test]
fn without_json_there_are_tables() {
    let snapshot = Snapshot::take(&fixture::registry(), Host::default());
    let body = serde_json::to_string(&snapshot).unwrap();
    let text = run(answering(http("200 OK", &body)), false).unwrap();
    assert!(text.starts_with("millpond ") && text.contains("\nUPSTREAM "), "{text}");
}

#[test]
fn nobody_there_is_said_with_the_option_that_helps() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap().to_string();
    drop(unused);
    for target in [AdminTarget::Tcp(address), AdminTarget::Unix("/nonexistent/admin.sock".into())] {
        let error = run(target.clone(), false).unwrap_err();
        assert!(error.starts_with(&format!("no millpond answers at {target} (")), "{error}");
        assert!(error.contains("is it running?") && error.contains("--admin"), "{error}");
    }
}

#[test]
fn something_else_there_is_said_too() {
    let error = run(answering(http("403 Forbidden", "Host names something else\n")), false).unwrap_err();
    assert!(error.ends_with("answers 403 Forbidden to GET /stats: Host names something else"), "{error}");
    let error = run(answering(http("401 Unauthorized", "a token is needed\n")), false).unwrap_err();
    assert!(error.contains("401 Unauthorized: a token is needed; --token-file"), "{error}");
    let error = run(answering(http("200 OK", "{}")), false).unwrap_err();
    assert!(error.contains("is not the statistics of a millpond"), "{error}");
    for broken in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b""] {
        let error = run(answering(broken.to_vec()), true).unwrap_err();
        assert!(error.contains("does not answer GET /stats properly: "), "{error}");
    }
}
