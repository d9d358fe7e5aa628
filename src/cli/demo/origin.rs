//! The demo's backend: an HTTP/1.1 server that keeps its connections and says hello.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Starts it on a free port of 127.0.0.2, which nothing else uses: an old TIME_WAIT towards the same port
/// of 127.0.0.1 would be counted as one of its sockets. It runs on a thread that lives as long as the process.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    thread::Builder::new().name("demo-origin".into()).spawn(move || runtime.block_on(accept(listener)))?;
    Ok(address)
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            // Out of descriptors, most likely; others will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream) {
    // Without it only an answer comes later, never wrong.
    let _ = stream.set_nodelay(true);
    let hello = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello from the origin\n"))))
    });
    // An error is the end of one connection, and the proxy's to judge.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), hello).await;
}
