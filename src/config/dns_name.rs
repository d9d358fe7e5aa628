//! Host names as they are written: what RFC 1123 section 2.1 allows, and `_`, which the names of services
//! begin with (RFC 2782).

use super::diagnostic::Fault;
use super::values::{shown, text};
use config::{Value, ValueKind};
use std::net::IpAddr;

/// RFC 1035 section 2.3.4: bytes of a name, without the dot at its end, and of each of its labels.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A name and a port.
pub(super) fn with_port(value: &Value) -> Result<(String, u16), Fault> {
    let written = written(value)?;
    if let Some(fault) = address(value, &written) {
        return Err(fault);
    }
    let Some((host, port)) = written.rsplit_once(':') else {
        let message = format!("{} has no port", shown(value));
        return Err(match name(&written) {
            Ok(name) if name.starts_with('_') => {
                Fault::new(message, format!("write srv = \"{name}\", or a port such as \"{name}:3000\""))
            }
            Ok(name) => Fault::new(message, format!("write the endpoints' port, such as \"{name}:3000\"")),
            Err(why) => Fault::new(format!("{} is not a host name and a port", shown(value)), why),
        });
    };
    let why = match (name(host), port.parse::<u16>()) {
        (Ok(name), Ok(port @ 1..)) => return Ok((name, port)),
        (Ok(name), _) => {
            let fix = format!("write a port from 1 to 65535, such as \"{name}:3000\"");
            return Err(Fault::new(format!("{} has no port", shown(value)), fix));
        }
        (Err(why), _) => why,
    };
    Err(Fault::new(format!("{} is not a host name and a port", shown(value)), why))
}

/// The name of a service, whose records say the ports.
pub(super) fn service(value: &Value) -> Result<String, Fault> {
    let written = written(value)?;
    if let Some(fault) = address(value, &written) {
        return Err(fault);
    }
    if let Some((Ok(name), Ok(_))) =
        written.rsplit_once(':').map(|(host, port)| (name(host), port.parse::<u16>()))
    {
        let fix = format!("write srv = \"{name}\", whose records say the port, or dns = \"{written}\"");
        return Err(Fault::new(format!("{} has a port", shown(value)), fix));
    }
    name(&written).map_err(|why| Fault::new(format!("{} is not the name of a service", shown(value)), why))
}

/// A domain to look for names in.
pub(super) fn domain(value: &Value) -> Result<String, Fault> {
    let name = text(value).map_err(|_| String::new()).and_then(name);
    let domain = name.map(|name| name.trim_end_matches('.').to_owned());
    domain.map_err(|why| Fault::new(format!("{} is not a domain", shown(value)), why))
}

/// What was meant by a text that is neither: `None` if it is no name either.
pub(super) fn suggested(written: &str) -> Option<String> {
    let (host, port) = written.rsplit_once(':')?;
    let (name, port) = (name(host).ok()?, port.parse::<u16>().ok()?);
    (port > 0).then(|| format!("{{ dns = \"{name}:{port}\" }}"))
}

/// Without the scheme and the path of a URL.
fn written(value: &Value) -> Result<String, Fault> {
    let ValueKind::String(text) = &value.kind else {
        let fix = "write a name in quotes, such as \"app.internal:3000\"";
        return Err(Fault::new(format!("{} is not a name", shown(value)), fix));
    };
    match text.split_once("://") {
        None => Ok(text.clone()),
        Some((_, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            let fix = match name(authority.rsplit_once(':').map_or(authority, |(host, _)| host)) {
                Ok(_) => format!("write \"{authority}\""),
                Err(why) => why,
            };
            Err(Fault::new(format!("{} is a URL", shown(value)), fix))
        }
    }
}

/// An IP address where a name is wanted.
fn address(value: &Value, written: &str) -> Option<Fault> {
    let host = written.rsplit_once(':').map_or(written, |(host, _)| host);
    let bare = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (bare(written) || bare(host)).then(|| {
        let fix = format!("write address = \"{written}\"");
        Fault::new(format!("{} is an IP address, which needs no name server", shown(value)), fix)
    })
}

/// The name in lower case, or what to write instead.
fn name(written: &str) -> Result<String, String> {
    let relative = written.strip_suffix('.').unwrap_or(written);
    let mut labels = relative.split('.');
    if !written.is_ascii() {
        return Err("write it in ASCII, as its xn-- form (IDNA)".to_owned());
    }
    if let Some(label) = labels.clone().find(|label| !is_label(label)) {
        let what =
            if label.is_empty() { "labels with a dot between two of them".to_owned() } else { fitting() };
        return Err(format!("write a host name: {what}"));
    }
    // RFC 1123 section 2.1: so that no name looks like an address.
    if labels.next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("write a host name, whose last label is not a number".to_owned());
    }
    match relative.len() {
        1..=NAME_MAX => Ok(written.to_ascii_lowercase()),
        _ => Err(format!("write a host name of {NAME_MAX} characters at most")),
    }
}

fn fitting() -> String {
    format!("labels of 1 to {LABEL_MAX} letters, digits, \"-\" or \"_\", with dots between them")
}

fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=LABEL_MAX).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind.into())
    }

    #[test]
    fn names_are_taken_as_they_are_in_lower_case() {
        for (written, name, port) in [
            ("app.default.svc:3000", "app.default.svc", 3000),
            ("App.Example.COM.:80", "app.example.com.", 80),
            ("localhost:1", "localhost", 1),
            ("my_app:65535", "my_app", 65535),
            ("3com.example:80", "3com.example", 80),
        ] {
            assert_eq!(with_port(&of(written)), Ok((name.to_owned(), port)), "{written}");
        }
        assert_eq!(service(&of("_http._tcp.app.svc")), Ok("_http._tcp.app.svc".to_owned()));
        assert_eq!(domain(&of("svc.cluster.local.")), Ok("svc.cluster.local".to_owned()));
    }

    #[test]
    fn what_is_no_name_is_told_with_what_to_write() {
        let long = format!("{}:80", ["a"; 127].join("."));
        for (written, message, fix) in [
            ("app.internal", "has no port", "such as \"app.internal:3000\""),
            ("_http._tcp.app", "has no port", "write srv = \"_http._tcp.app\""),
            ("app.internal:", "has no port", "such as \"app.internal:3000\""),
            ("app.internal:0", "has no port", "from 1 to 65535"),
            ("app.internal:99999", "has no port", "from 1 to 65535"),
            ("192.0.2.1:80", "is an IP address", "write address = \"192.0.2.1:80\""),
            ("[2001:db8::1]:80", "is an IP address", "write address = \"[2001:db8::1]:80\""),
            ("2001:db8::1", "is an IP address", "write address ="),
            ("http://app.internal:80/x", "is a URL", "write \"app.internal:80\""),
            ("http:///", "is a URL", "write a host name"),
            ("app..internal:80", "is not a host name", "a dot between two"),
            ("", "is not a host name", "a dot between two"),
            (":80", "is not a host name", "a dot between two"),
            ("-app:80", "is not a host name", "labels of 1 to 63"),
            ("a b:80", "is not a host name", "labels of 1 to 63"),
            ("müll.example:80", "is not a host name", "xn--"),
            ("10.0.1:80", "is not a host name", "is not a number"),
            (&format!("{}.x:80", "a".repeat(64)), "is not a host name", "labels of 1 to 63"),
        ] {
            let fault = with_port(&of(written)).expect_err(written);
            assert!(fault.message.contains(message), "{written}: {}", fault.message);
            assert!(fault.fix.contains(fix), "{written}: {}", fault.fix);
        }
        assert!(with_port(&of(long)).is_ok(), "253 characters");
        assert!(with_port(&of(format!("{}:80", ["a"; 128].join(".")))).is_err());
        assert!(with_port(&of(80)).is_err());
    }

    #[test]
    fn a_service_has_no_port_of_its_own() {
        for (written, message, fix) in [
            ("_http._tcp.app:80", "has a port", "write srv = \"_http._tcp.app\""),
            ("192.0.2.1:80", "is an IP address", "write address ="),
            ("192.0.2.1", "is an IP address", "write address ="),
            ("a b", "is not the name of a service", "labels of 1 to 63"),
        ] {
            let fault = service(&of(written)).expect_err(written);
            assert!(fault.message.contains(message) && fault.fix.contains(fix), "{written}: {fault:?}");
        }
    }

    #[test]
    fn an_address_that_is_a_name_is_offered_as_one() {
        assert_eq!(suggested("db.internal:5432").as_deref(), Some("{ dns = \"db.internal:5432\" }"));
        for stranger in ["", "a:b:c", "db.internal", "127.0.0.1:99999", "x y:80"] {
            assert_eq!(suggested(stranger), None, "{stranger}");
        }
    }
}
