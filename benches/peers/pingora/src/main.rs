//! Pingora in front of one origin, or of several in turn: `pingora LISTEN,... THREADS FILE`, where the file
//! has an origin's address in each line that does not begin with `#`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

struct Proxy {
    origins: Vec<SocketAddr>,
    turn: AtomicUsize,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Relaxed) % self.origins.len();
        Ok(Box::new(HttpPeer::new(self.origins[turn], false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> pingora::Result<()> {
        let Some(client) = session.client_addr().and_then(|address| address.as_inet()) else { return Ok(()) };
        let value = match request.headers.get("X-Forwarded-For").and_then(|value| value.to_str().ok()) {
            Some(before) => format!("{before}, {}", client.ip()),
            None => client.ip().to_string(),
        };
        request.insert_header("X-Forwarded-For", value)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, listen, threads, file] = &words[..] else { panic!("pingora LISTEN,... THREADS FILE") };
    let threads = threads.parse().expect("a number of threads");
    let text = std::fs::read_to_string(file).expect("a file of origins");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let origins = lines.map(|line| line.parse().expect("ADDRESS:PORT")).collect();
    let configuration = ServerConf {
        threads,
        work_stealing: false,
        upstream_keepalive_pool_size: 100_000,
        // SIGTERM ends it at once, as the others.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..Default::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Proxy { origins, turn: AtomicUsize::new(0) });
    listen.split(',').for_each(|address| service.add_tcp(address));
    server.add_service(service);
    server.run_forever();
}
