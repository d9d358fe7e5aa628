//! What millpond is built from: every licence is one that its users can accept, every package comes
//! from crates.io, none is there twice without a reason, and `Cargo.lock` agrees with the manifests.
//!
//! Asks `cargo metadata` without the network, for the platform that this test was built for.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Licences that ask for no more than their notice.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Exceptions that only add permissions to a licence above.
const EXCEPTIONS: &[&str] = &["LLVM-exception"];
/// Packages that may be there in several versions, and why.
const SEVERAL_VERSIONS: &[(&str, &str)] = &[
    ("syn", "serde_derive is on 3, tracing-attributes and other derives still on 2; none is in the binary"),
    ("getrandom", "0.2 is for the ring of hickory-proto's DNSSEC, which is off: only 0.4 is built"),
];
/// Where every package outside this workspace comes from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package that is built, for the product, its tests or its measuring tools.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    /// `None`: a member of this workspace.
    source: Option<String>,
}

#[test]
fn every_licence_is_acceptable() {
    for Package { name, version, licence, .. } in packages() {
        let licence = licence.unwrap_or_else(|| panic!("{name} {version} names no licence"));
        let accepted = is_accepted(&licence).unwrap_or_else(|error| panic!("{name} {version}: {error}"));
        assert!(accepted, "{name} {version} is under {licence:?}, which is not in LICENCES");
    }
}

#[test]
fn every_package_comes_from_crates_io() {
    for package in packages() {
        let from = package.source.as_deref().unwrap_or(CRATES_IO);
        assert_eq!(from, CRATES_IO, "{} {}", package.name, package.version);
    }
}

#[test]
fn no_package_is_there_twice_without_a_reason() {
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    for package in packages() {
        versions.entry(package.name).or_default().push(package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    for (name, _) in SEVERAL_VERSIONS {
        assert!(versions.remove(*name).is_some(), "{name} is there once: it needs no reason any more");
    }
    assert!(versions.is_empty(), "in several versions, without a reason beside them: {versions:?}");
}

#[test]
fn licence_expressions_are_understood() {
    let cases = [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only AND MIT OR ISC", true),
        ("GPL-3.0-only AND (MIT OR ISC)", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH some-other-exception", false),
        ("GPL-2.0-only WITH LLVM-exception OR Zlib", true),
    ];
    for (expression, accepted) in cases {
        assert_eq!(is_accepted(expression), Ok(accepted), "{expression}");
    }
    for malformed in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT", "MIT WITH"] {
        assert!(is_accepted(malformed).is_err(), "{malformed}");
    }
}

/// What is built here. `--locked` fails when `Cargo.lock` is not what the manifests ask for.
fn packages() -> Vec<Package> {
    let arguments = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform"];
    let metadata = output(Command::new(env!("CARGO")).args(arguments).arg(platform()));
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let package = |package: &Value| Package {
        name: text(&package["name"]).expect("a package has a name"),
        version: text(&package["version"]).expect("a package has a version"),
        licence: text(&package["license"]),
        source: text(&package["source"]),
    };
    let packages: Vec<_> = packages.iter().map(package).collect();
    assert!(packages.iter().any(|package| package.name == "tokio"), "{packages:?}");
    packages
}

/// The platform of the compiler, such as `x86_64-unknown-linux-gnu`.
fn platform() -> String {
    let version = output(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc says which host it runs on").to_owned()
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("the command writes UTF-8")
}

/// Whether an SPDX licence expression (specification 2.3, annex D) can be met with the licences
/// above; `/` is how crates wrote OR before that.
fn is_accepted(expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let accepted = any_of(&mut tokens)?;
    match tokens.pop() {
        None => Ok(accepted),
        Some(token) => Err(format!("{token:?} is one too many in {expression:?}")),
    }
}

fn any_of(tokens: &mut Vec<&str>) -> Result<bool, String> {
    let mut accepted = all_of(tokens)?;
    while next_is("OR", tokens) {
        accepted |= all_of(tokens)?;
    }
    Ok(accepted)
}

/// AND binds closer than OR.
fn all_of(tokens: &mut Vec<&str>) -> Result<bool, String> {
    let mut accepted = licence(tokens)?;
    while next_is("AND", tokens) {
        accepted &= licence(tokens)?;
    }
    Ok(accepted)
}

fn licence(tokens: &mut Vec<&str>) -> Result<bool, String> {
    if next_is("(", tokens) {
        let accepted = any_of(tokens)?;
        return if next_is(")", tokens) { Ok(accepted) } else { Err("a parenthesis is open".into()) };
    }
    let accepted = LICENCES.contains(&name(tokens)?);
    if !next_is("WITH", tokens) {
        return Ok(accepted);
    }
    Ok(EXCEPTIONS.contains(&name(tokens)?) && accepted)
}

fn name<'a>(tokens: &mut Vec<&'a str>) -> Result<&'a str, String> {
    match tokens.pop() {
        Some(token) if !["(", ")", "AND", "OR", "WITH"].contains(&token) => Ok(token),
        other => Err(format!("a name is missing before {:?}", other.unwrap_or("the end"))),
    }
}

fn next_is(expected: &str, tokens: &mut Vec<&str>) -> bool {
    let found = tokens.last() == Some(&expected);
    if found {
        tokens.pop();
    }
    found
}
