//! Addresses as they are written: an IP address and a port, nothing that would need a name service.

use super::diagnostic::Fault;
use super::dns_name;
use super::model::AdminListen;
use super::values::{shown, text};
use config::{Value, ValueKind};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Longer, and `sun_path` does not hold it with its closing zero: unix(7).
const UNIX_PATH_MAX: usize = 107;

/// An address to listen on; port 0 is one that the kernel picks.
pub(super) fn listen(value: &Value) -> Result<SocketAddr, Fault> {
    let address = socket(value, "0.0.0.0")?;
    if address.ip().is_multicast() {
        return Err(Fault::new(format!("{} is a multicast address", shown(value)), "write a local address"));
    }
    Ok(address)
}

/// An address to dial.
pub(super) fn dial(value: &Value) -> Result<SocketAddr, Fault> {
    let address = socket(value, "127.0.0.1").map_err(|fault| or_name(value, fault))?;
    let (message, fix) = match address.ip() {
        _ if address.port() == 0 => ("has port 0", "write the port that the endpoint listens on".to_owned()),
        IpAddr::V4(ip) if ip.is_unspecified() => {
            ("is no address of a host", format!("write \"127.0.0.1:{}\" for this host", address.port()))
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            ("is no address of a host", format!("write \"[::1]:{}\" for this host", address.port()))
        }
        ip if ip.is_multicast() => {
            ("is a multicast address", "write the address that the endpoint listens on".to_owned())
        }
        _ => return Ok(address),
    };
    Err(Fault::new(format!("{} {message}", shown(value)), fix))
}

/// A name has a form of its own.
fn or_name(value: &Value, fault: Fault) -> Fault {
    let named = text(value).ok().and_then(dns_name::suggested);
    match named.filter(|_| !fault.fix.starts_with("write \"")) {
        Some(name) => Fault::new(fault.message, format!("write {name}")),
        None => fault,
    }
}

/// A local address to dial from.
pub(super) fn source(value: &Value) -> Result<IpAddr, Fault> {
    let fix = "write an IP address of this host without a port, such as \"192.0.2.10\"";
    match text(value).ok().and_then(|text| text.parse::<IpAddr>().ok()) {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Fault::new(format!("{} is no address of a host", shown(value)), fix))
        }
        Some(ip) => Ok(ip),
        None => Err(Fault::new(format!("{} is not an IP address", shown(value)), fix)),
    }
}

/// Where the admin server listens.
pub(super) fn admin(value: &Value) -> Result<AdminListen, Fault> {
    const FIX: &str =
        "write a loopback address such as \"127.0.0.1:9900\", or \"unix:/run/millpond/admin.sock\"";
    if let Some(path) = text(value).ok().and_then(|text| text.strip_prefix("unix:")) {
        return match path.len() {
            _ if !path.starts_with('/') => {
                Err(Fault::new(format!("{} is not an absolute path", shown(value)), FIX))
            }
            length if length > UNIX_PATH_MAX => {
                let fix = format!("write a path of {UNIX_PATH_MAX} bytes at most");
                Err(Fault::new(format!("{} is too long for a Unix socket", shown(value)), fix))
            }
            _ if path.contains('\0') => Err(Fault::new("a path holds no zero byte".to_owned(), FIX)),
            _ => Ok(AdminListen::Unix(PathBuf::from(path))),
        };
    }
    match socket(value, "127.0.0.1") {
        Ok(address) if address.ip().is_multicast() => {
            Err(Fault::new(format!("{} is a multicast address", shown(value)), FIX))
        }
        Ok(address) => Ok(AdminListen::Tcp(address)),
        Err(fault) => Err(Fault::new(fault.message, FIX)),
    }
}

/// An address and a port; `anywhere` is what a missing host most likely stands for.
fn socket(value: &Value, anywhere: &str) -> Result<SocketAddr, Fault> {
    let written = match &value.kind {
        ValueKind::String(text) => text.trim().to_owned(),
        ValueKind::I64(port) => format!(":{port}"),
        _ => String::new(),
    };
    if let (Ok(address), ValueKind::String(_)) = (written.parse(), &value.kind) {
        return Ok(address);
    }
    if let Ok(ip) = written.parse::<IpAddr>() {
        let example = SocketAddr::new(ip, 8080);
        return Err(Fault::new(
            format!("{} has no port", shown(value)),
            format!("write an IP address and a port, such as \"{example}\""),
        ));
    }
    let fix = match meant(&written, anywhere) {
        Some(address) => format!("write \"{address}\""),
        None => "write an IP address and a port, such as \"127.0.0.1:3000\"".to_owned(),
    };
    Err(Fault::new(format!("{} is not an IP address and a port", shown(value)), fix))
}

/// What was meant by a URL, by `localhost`, or by a port alone.
fn meant(written: &str, anywhere: &str) -> Option<SocketAddr> {
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    let authority = rest.split('/').next()?;
    let (host, port) = authority.rsplit_once(':').unwrap_or(("", authority));
    let host = match host {
        "" | "*" => anywhere,
        "localhost" => "127.0.0.1",
        host => host,
    };
    format!("{host}:{port}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind.into())
    }

    #[test]
    fn what_was_meant_is_offered() {
        for (written, bind, endpoint) in [
            (":8080", "write \"0.0.0.0:8080\"", "write \"127.0.0.1:8080\""),
            ("*:8080", "write \"0.0.0.0:8080\"", "write \"127.0.0.1:8080\""),
            ("8080", "write \"0.0.0.0:8080\"", "write \"127.0.0.1:8080\""),
            ("localhost:80", "write \"127.0.0.1:80\"", "write \"127.0.0.1:80\""),
            ("http://192.0.2.1:80/x", "write \"192.0.2.1:80\"", "write \"192.0.2.1:80\""),
        ] {
            assert_eq!(listen(&of(written)).expect_err(written).fix, bind);
            assert_eq!(dial(&of(written)).expect_err(written).fix, endpoint);
        }
        assert_eq!(listen(&of(8080)).expect_err("a number").fix, "write \"0.0.0.0:8080\"");
        assert_eq!(
            dial(&of("db.internal:5432")).expect_err("a name").fix,
            "write { dns = \"db.internal:5432\" }"
        );
        for host in ["", "a:b:c", "127.0.0.1:99999"] {
            let fault = dial(&of(host)).expect_err(host);
            assert!(fault.fix.starts_with("write an IP address and a port"), "{}", fault.fix);
        }
        assert!(dial(&of("::1")).expect_err("no port").fix.contains("\"[::1]:8080\""));
    }

    #[test]
    fn an_endpoint_is_some_host_and_port() {
        assert!(dial(&of("[2001:db8::1]:80")).is_ok());
        for (bad, why) in [
            ("127.0.0.1:0", "has port 0"),
            ("0.0.0.0:80", "is no address of a host"),
            ("[::]:80", "is no address of a host"),
            ("224.0.0.1:80", "is a multicast address"),
        ] {
            assert!(dial(&of(bad)).expect_err(bad).message.ends_with(why));
        }
        assert!(listen(&of("0.0.0.0:0")).is_ok());
    }

    #[test]
    fn the_admin_server_has_an_address_or_a_path() {
        assert_eq!(admin(&of("[::1]:0")), Ok(AdminListen::Tcp("[::1]:0".parse().unwrap())));
        assert_eq!(admin(&of("unix:/a.sock")), Ok(AdminListen::Unix("/a.sock".into())));
        for (bad, why) in [
            ("224.0.0.1:9900", "is a multicast address"),
            ("unix:admin.sock", "is not an absolute path"),
            ("/run/admin.sock", "is not an IP address and a port"),
        ] {
            let fault = admin(&of(bad)).expect_err(bad);
            assert!(fault.message.ends_with(why), "{}", fault.message);
            assert!(fault.fix.contains("loopback") && fault.fix.contains("unix:/"), "{}", fault.fix);
        }
        assert!(admin(&of(format!("unix:/{}", "a".repeat(107)))).is_err());
        assert!(admin(&of(format!("unix:/{}", "a".repeat(106)))).is_ok());
    }
}
