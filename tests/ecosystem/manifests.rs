//! The objects of deploy/kubernetes.

use crate::at_root;
use serde::Deserialize;
use serde_norway::{Deserializer, Value};
use std::fmt;
use std::fs;
use std::time::Duration;

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) file: String,
    pub(crate) value: Value,
}

/// Every object of every file, in order.
pub(crate) fn all() -> Vec<Manifest> {
    let directory = fs::read_dir(at_root("deploy/kubernetes")).unwrap();
    let mut files: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let objects = files.iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let objects: Vec<Value> =
            Deserializer::from_str(&text).map(|object| Value::deserialize(object).unwrap()).collect();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap().to_owned();
        objects.into_iter().map(move |value| Manifest { file: file.clone(), value })
    });
    objects.collect()
}

impl Manifest {
    pub(crate) fn kind(&self) -> String {
        text(&self.value["kind"])
    }

    /// The specification of its Pods.
    pub(crate) fn pod(&self) -> &Value {
        &self.value["spec"]["template"]["spec"]
    }

    /// Every container, sidecars too.
    pub(crate) fn containers(&self) -> Vec<&Value> {
        containers(&self.value)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}", self.kind(), text(&self.value["metadata"]["name"]), self.file)
    }
}

fn containers(workload: &Value) -> Vec<&Value> {
    let pod = &workload["spec"]["template"]["spec"];
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_sequence());
    lists.flatten().collect()
}

/// The container that runs millpond; null where there is none.
pub(crate) fn millpond_of(workload: &Value) -> &Value {
    const NONE: &Value = &Value::Null;
    containers(workload).into_iter().find(|container| container["name"] == "millpond").unwrap_or(NONE)
}

/// A text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text")).to_owned()
}

/// Whole seconds.
#[track_caller]
pub(crate) fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().unwrap_or_else(|| panic!("{value:?} are no seconds")))
}
