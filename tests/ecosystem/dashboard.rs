//! The dashboard of deploy/grafana.

use crate::at_root;
use serde::Deserialize;
use serde_json::Value;
use std::fs;

/// As Grafana imports it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dashboard {
    pub(crate) panels: Vec<Panel>,
    templating: Templating,
}

#[derive(Debug, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

/// What the user chooses above the panels.
#[derive(Debug, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    query: Value,
}

/// A panel, or the heading of a row.
#[derive(Debug, Deserialize)]
pub(crate) struct Panel {
    pub(crate) id: u32,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) datasource: Option<Datasource>,
    #[serde(rename = "gridPos")]
    pub(crate) place: Place,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// Where an expression is asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Datasource {
    pub(crate) uid: String,
}

/// A rectangle of the grid, which is 24 wide.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

/// One expression of a panel.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) datasource: Datasource,
    pub(crate) expr: String,
    #[serde(rename = "legendFormat")]
    pub(crate) legend: String,
}

impl Dashboard {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(at_root("deploy/grafana/millpond.json")).expect("a readable file");
        serde_json::from_str(&text).expect("a dashboard")
    }

    pub(crate) fn variables(&self) -> &[Variable] {
        &self.templating.list
    }

    /// Every panel that shows something.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.kind != "row")
    }

    /// Every expression, of panels and of variables, with where it stands.
    pub(crate) fn expressions(&self) -> Vec<(String, &str)> {
        let panels = self.shown().flat_map(|panel| {
            let place = format!("the panel {:?}", panel.title);
            panel.targets.iter().map(move |target| (place.clone(), target.expr.as_str()))
        });
        let variables = self.variables().iter().filter_map(|variable| {
            Some((format!("the variable {}", variable.name), variable.query["query"].as_str()?))
        });
        panels.chain(variables).collect()
    }
}

impl Place {
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let meet = |a: u32, a_size: u32, b: u32, b_size: u32| a < b + b_size && b < a + a_size;
        meet(self.x, self.w, other.x, other.w) && meet(self.y, self.h, other.y, other.h)
    }
}

/// The labels that a legend such as `{{endpoint}}` names.
pub(crate) fn labels_in(legend: &str) -> impl Iterator<Item = &str> {
    legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next())
}
