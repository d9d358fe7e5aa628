//! Where a configuration comes from: a file, the files of `conf.d` beside it, and a few environment
//! variables, in this order.

use super::compile::compile;
use super::diagnostic::{Diagnostic, Diagnostics, Position, Problems, Severity, Site};
use super::dns_name;
use super::file::Layer;
use super::model::{Config, Protocol};
use super::schema::LISTS;
use super::section::Section;
use config::{ConfigError, Map, Value, ValueKind};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

/// The variables that are read, and the key that each sets. A list, not a prefix: a Kubernetes
/// Service called `millpond` injects `MILLPOND_SERVICE_HOST`.
pub const VARIABLES: [(&str, &str); 7] = [
    ("MILLPOND_ADMIN_LISTEN", "admin.listen"),
    ("MILLPOND_ADMIN_TOKEN_FILE", "admin.token_file"),
    ("MILLPOND_LOG_LEVEL", "log.level"),
    ("MILLPOND_LOG_FORMAT", "log.format"),
    ("MILLPOND_LOG_ACCESS", "log.access"),
    ("MILLPOND_RUNTIME_WORKERS", "runtime.workers"),
    ("MILLPOND_RUNTIME_SHUTDOWN_TIMEOUT", "runtime.shutdown_timeout"),
];

/// Looks an environment variable up; [`process_variable`] in the program, anything in a test.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What has no effect in it, or not the one that was meant.
    pub warnings: Vec<Diagnostic>,
    written: Written,
}

/// What the configuration was compiled from.
#[derive(Clone, Debug)]
struct Written {
    root: Value,
    whole: Position,
    files: Vec<String>,
}

/// A table of one of the lists, by its place in [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Of [`Config::listeners`].
    Listener(usize),
    /// Of [`Config::upstreams`].
    Upstream(usize),
}

impl Loaded {
    /// Whether a key, such as `pool.max_idle`, was written, or has its default.
    pub fn is_written(&self, element: Element, key: &str) -> bool {
        self.written.section(element).is_some_and(|section| section.find(key).is_some())
    }

    /// Adds a warning about a key of this element, at the line where it stands.
    pub fn warn(&mut self, element: Element, key: &str, message: String, fix: String) {
        let Some(section) = self.written.section(element) else { return };
        let site = section.site_below(key);
        let mut problems = Problems(std::mem::take(&mut self.warnings));
        problems.warning(&site, message, fix);
        problems.sort(&self.written.files);
        self.warnings = problems.0;
    }

    /// An error about a key outside of the lists, at the line where it stands.
    pub fn error(&self, key: &str, message: String, fix: String) -> Diagnostic {
        let root = Section::root(&self.written.root, self.written.whole.clone());
        let Site { key, position } = root.site_below(key);
        Diagnostic { severity: Severity::Error, position, key, message, fix }
    }
}

impl Written {
    fn section(&self, element: Element) -> Option<Section<'_>> {
        let root = Section::root(&self.root, self.whole.clone());
        let (list, index) = match element {
            Element::Listener(index) => ("listener", index),
            Element::Upstream(index) => ("upstream", index),
        };
        root.sections(list).into_iter().nth(index)
    }
}

/// Loads a file, then `conf.d/*.toml` beside it in the order of their names (a listener or an
/// upstream there comes on top; any other key wins over the file's), then [`VARIABLES`]. An empty
/// variable counts as unset.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, Diagnostics> {
    let mut broken = Vec::new();
    let main = path.display().to_string();
    let mut texts = Vec::new();
    for path in std::iter::once(path.to_owned()).chain(fragments(path, &mut broken)) {
        match read(&path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(diagnostic) => broken.push(diagnostic),
        }
    }
    assemble(&main, &texts, broken, environment)
}

/// A number that is another when the file, or one of `conf.d`, has another content.
pub fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in std::iter::once(path.to_owned()).chain(fragments(path, &mut Vec::new())) {
        path.hash(&mut hasher);
        // One that cannot be read has no content.
        fs::read(&path).ok().hash(&mut hasher);
    }
    hasher.finish()
}

/// Compiles one text alone: no `conf.d`, no environment. `name` stands for the file in diagnostics.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn parse_str(name: &str, text: &str) -> Result<Loaded, Diagnostics> {
    assemble(name, &[(name.to_owned(), text.to_owned())], Vec::new(), &|_| None)
}

/// Whether this can be an endpoint in [`adhoc`]: an address and a port, or a name and a port.
pub fn is_endpoint(written: &str) -> bool {
    written.parse::<SocketAddr>().is_ok() || dns_name::suggested(written).is_some()
}

/// The configuration of one listener and one upstream, called `default`, that the command line
/// gives instead of a file; everything else has its default, or comes from [`VARIABLES`]. Endpoints are
/// addresses or names, each with a port.
///
/// # Errors
/// An address that cannot be used, or a bad value of a variable.
pub fn adhoc(
    listen: SocketAddr,
    endpoints: &[impl ToString],
    protocol: Protocol,
    environment: Environment<'_>,
) -> Result<Loaded, Diagnostics> {
    let origin = Position::CommandLine.to_string();
    let of = |kind: ValueKind| Value::new(Some(&origin), kind);
    let text = |text: &str| of(ValueKind::String(text.to_owned()));
    let table = |keys: Vec<(&str, Value)>| {
        of(ValueKind::Table(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    };
    let protocol = match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    };
    let endpoint = |endpoint: String| match dns_name::suggested(&endpoint) {
        Some(_) => table(vec![("dns", text(&endpoint))]),
        None => text(&endpoint),
    };
    let endpoints = endpoints.iter().map(|written| endpoint(written.to_string())).collect();
    let listener = table(vec![
        ("bind", text(&listen.to_string())),
        ("protocol", text(protocol)),
        ("upstream", text("default")),
    ]);
    let upstream = table(vec![("name", text("default")), ("endpoints", of(ValueKind::Array(endpoints)))]);
    let layer = Layer { tables: Map::new(), lists: [vec![listener], vec![upstream]] };
    finish(Position::CommandLine, vec![layer], &[], Problems::default(), environment)
}

/// An environment variable of this process; bytes that are not UTF-8 are replaced, to be refused
/// like any other bad value.
pub fn process_variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The files of `conf.d`, by name. None where there is no such directory.
fn fragments(main: &Path, broken: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let directory = main.with_file_name("conf.d");
    let mut paths = match fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            broken.push(unreadable(&directory, &error));
            Vec::new()
        }
    };
    // An editor's hidden files are drafts.
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path: &PathBuf| path.extension().is_some_and(|e| e == "toml") && !hidden(path));
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, Diagnostic> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let position = Position::Line(path.display().to_string(), line);
        file_error(position, "this is not UTF-8".to_owned(), "save it as UTF-8")
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let fix = match error.kind() {
        io::ErrorKind::NotFound => "name a file that exists",
        io::ErrorKind::PermissionDenied => "let the user that millpond runs as read it",
        _ => "name a file that can be read",
    };
    file_error(Position::File(path.display().to_string()), format!("cannot be read: {error}"), fix)
}

fn file_error(position: Position, message: String, fix: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Error, position, key: String::new(), message, fix: fix.to_owned() }
}

/// Parses the texts. A text that is no TOML, or could not be read, ends it here: what is missing from
/// it would be reported as missing from the configuration.
fn assemble(
    main: &str,
    texts: &[(String, String)],
    mut broken: Vec<Diagnostic>,
    environment: Environment<'_>,
) -> Result<Loaded, Diagnostics> {
    let mut problems = Problems::default();
    let mut layers = Vec::new();
    for (name, text) in texts {
        match Layer::parse(name, text, &mut problems) {
            Ok(layer) => layers.push(layer),
            Err(diagnostic) => broken.push(diagnostic),
        }
    }
    let files: Vec<String> = texts.iter().map(|(name, _)| name.clone()).collect();
    if !broken.is_empty() {
        problems.0.append(&mut broken);
        problems.sort(&files);
        return Err(Diagnostics(problems.0));
    }
    finish(Position::File(main.to_owned()), layers, &files, problems, environment)
}

fn finish(
    whole: Position,
    layers: Vec<Layer>,
    files: &[String],
    mut problems: Problems,
    environment: Environment<'_>,
) -> Result<Loaded, Diagnostics> {
    let root = match layered(layers, environment) {
        Ok(root) => root,
        Err(error) => {
            let site = Site { key: String::new(), position: whole };
            problems.error(&site, format!("cannot be layered: {error}"), "report this as a defect");
            return Err(Diagnostics(problems.0));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let config = compile(&Section::root(&root, whole.clone()), cores, &mut problems);
    problems.sort(files);
    if problems.any_error() {
        return Err(Diagnostics(problems.0));
    }
    let written = Written { root, whole, files: files.to_vec() };
    Ok(Loaded { config, warnings: problems.0, written })
}

/// One value of all layers. The `config` crate replaces a list by that of the next layer, so that
/// the lists are joined here and set once.
fn layered(layers: Vec<Layer>, environment: Environment<'_>) -> Result<Value, ConfigError> {
    let mut builder = config::Config::builder();
    let mut lists: [Vec<Value>; LISTS.len()] = Default::default();
    for mut layer in layers {
        for (joined, elements) in lists.iter_mut().zip(&mut layer.lists) {
            joined.append(elements);
        }
        builder = builder.add_source(layer);
    }
    for (name, elements) in LISTS.into_iter().zip(lists) {
        builder = builder.set_override(name, Value::new(None, ValueKind::Array(elements)))?;
    }
    for (variable, key) in VARIABLES {
        let Some(written) = environment(variable).filter(|written| !written.is_empty()) else { continue };
        // A variable is a text: what looks like a number stands for one.
        let kind = written.parse().map_or(ValueKind::String(written), ValueKind::I64);
        builder = builder.set_override(key, Value::new(Some(&variable.to_owned()), kind))?;
    }
    Ok(builder.build()?.cache)
}

#[cfg(test)]
mod tests;
