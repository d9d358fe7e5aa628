//! nginx as a backend: a directory of files that can be fetched and stored.

use super::process::{Server, free_address};
use super::program::NGINX;
use crate::harness::{Proxy, Setup};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A running nginx with a directory of its own.
#[derive(Debug)]
pub(super) struct Nginx {
    address: SocketAddr,
    // Dropped before its directory.
    _server: Server,
    directory: TempDir,
}

impl Nginx {
    #[track_caller]
    pub(super) fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = directory.path();
        std::fs::create_dir(root.join("files")).expect("a new directory");
        let address = free_address();
        let configuration = root.join("nginx.conf");
        std::fs::write(&configuration, configuration_text(root, address)).expect("a new directory");
        let mut command = NGINX.command();
        command.arg("-p").arg(root).arg("-e").arg(root.join("error.log")).arg("-c").arg(configuration);
        let mut server = Server::spawn(root, &mut command);
        server.wait_until_it_accepts(address);
        Self { address, _server: server, directory }
    }

    /// The proxy in front of it, with two workers.
    pub(super) fn setup(&self) -> Setup {
        Setup::http([self.address]).workers(2)
    }

    #[track_caller]
    pub(super) fn proxied(&self) -> Proxy {
        self.setup().start()
    }

    /// What it serves.
    pub(super) fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// A file of pseudo-random bytes among those.
    pub(super) fn create(&self, name: &str, bytes: u64) -> PathBuf {
        super::files::create(&self.files(), name, bytes)
    }

    /// A place for what the test itself writes.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// One process, so that ending it ends all of it.
fn configuration_text(root: &Path, address: SocketAddr) -> String {
    let root = root.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            client_max_body_size 300m;
            server {{
                listen {address} backlog=1024;
                root {root}/files;
                location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
                location /small/ {{ dav_methods PUT; client_max_body_size 1k; }}
                location /moved {{ return 302 /here; }}
            }}
        }}"
    )
}
