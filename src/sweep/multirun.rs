//! A grid typed on the command line: `-m masking.targets=1,2,4 seed=0,1`.

use serde_json::{Map, Value, json};

use super::{
    axes::Axis,
    budget::Costs,
    grammar::{Method, SweepFile},
    plan::{Plan, ReadFile, expand},
};
use crate::config::{Base, Change, ConfigError, Document, Located, Place, join};

/// Planned runs allowed.
const CAP: u64 = 256;

/// The grid of all overrides that list several values; the others change the base.
pub fn multirun(
    file_name: &str,
    text: &str,
    overrides: &[String],
    read: ReadFile,
    costs: &dyn Costs,
) -> Result<Plan, ConfigError> {
    let (mut single, mut axes, mut seeds) = (Vec::new(), Vec::new(), None);
    let mut parameters = Map::new();
    for text in overrides {
        let Some((path, document, items)) = listed(text) else {
            single.push(text.clone());
            continue;
        };
        if path == "seed" {
            seeds = Some(seed_list(text, &items)?);
            continue;
        }
        let change = |(i, item): (usize, &Value)| {
            Change::typed(path, &document, path, &join(path, &i.to_string()), item)
        };
        parameters.insert(path.into(), json!({ "values": items }));
        axes.push(Axis::listed(path, items.iter().enumerate().map(change).collect()));
    }
    let base = Base::read(file_name, text, &single, read)?;
    let name = base.with(&[])?.name;
    let form =
        json!({ "version": 1, "name": name, "base": file_name, "parameters": parameters, "seeds": seeds });
    let changed: String = single.iter().map(|o| format!("# override: {o}\n")).collect();
    let head = "# Typed on the command line; `base` is relative to the folder it was typed in.\n";
    let source = format!("{head}{changed}{}", serde_yaml::to_string(&form).unwrap_or_default());
    Ok(Plan { source, ..expand(&file(name, axes, seeds), &base, costs)? })
}

/// The values of `path=a,b`; none if there is only one.
fn listed(text: &str) -> Option<(&str, Document, Vec<Value>)> {
    let (path, values) = text.split_once('=')?;
    let path = path.trim();
    let document = Document::from_override(text, path, &format!("[{values}]")).ok()?;
    let items = document.value.as_array().filter(|items| items.len() > 1)?.clone();
    Some((path, document, items))
}

fn seed_list(text: &str, items: &[Value]) -> Result<Vec<u64>, ConfigError> {
    let seeds: Option<Vec<u64>> = items.iter().map(Value::as_u64).collect();
    let distinct = seeds.filter(|s| (1..s.len()).all(|i| !s[..i].contains(&s[i])));
    distinct.ok_or_else(|| {
        let message = "expected different whole numbers, 0 or more".to_owned();
        let place = Place::Override(text.into());
        ConfigError::new(vec![Located { place, path: "seed".into(), message, help: None }])
    })
}

fn file(name: String, axes: Vec<Axis>, seeds: Option<Vec<u64>>) -> SweepFile {
    let place = Place::Override("-m".into());
    SweepFile {
        name,
        base: String::new(),
        base_place: place.clone(),
        method: Method::Grid,
        axes,
        arms: Vec::new(),
        exclude: Vec::new(),
        seeds,
        samples: 1,
        run_cap: CAP,
        cap_place: place.clone(),
        budget: None,
        gpus: None,
        early: None,
        metric: None,
        parameters_place: place,
    }
}
