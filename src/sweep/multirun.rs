//! A grid typed on the command line: `-m masking.targets=1,2,4 seed=0,1`.

use serde_json::{Map, Value, json};

use super::{
    axes::Axis,
    budget::Costs,
    choices::Choice,
    plan::{Plan, expand},
    sweep_file::{Method, SweepFile},
};
use crate::config::{Base, Change, ConfigError, Document, Located, Span, Surroundings, join, slot};

/// Planned runs allowed.
const CAP: u64 = 256;

/// The grid of all overrides that list several values; the others change the base.
pub fn multirun(
    file_name: &str,
    text: &str,
    overrides: &[String],
    outside: &Surroundings,
    costs: &dyn Costs,
) -> Result<Plan, ConfigError> {
    let (mut single, mut axes, mut seeds) = (Vec::new(), Vec::new(), None);
    let mut parameters = Map::new();
    for text in overrides {
        let Some((path, document, items)) = listed(text)? else {
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
        axes.push(Axis::listed(slot(path), items.iter().enumerate().map(change).map(Choice::of).collect()));
    }
    let base = Base::read(file_name, text, &single, outside)?;
    let name = base.with(&[])?.name;
    let form =
        json!({ "version": 1, "name": name, "base": file_name, "parameters": parameters, "seeds": seeds });
    let changed: String = single.iter().map(|o| format!("# override: {o}\n")).collect();
    let head = "# Typed on the command line; `base` is relative to the folder it was typed in.\n";
    let source = format!("{head}{changed}{}", serde_yaml::to_string(&form).unwrap_or_default());
    Ok(Plan { source, ..expand(&file(name, axes, seeds), &base, costs)? })
}

type Listed<'a> = (&'a str, Document, Vec<Value>);

/// The values of `path=a,b`; none if there is only one.
fn listed(text: &str) -> Result<Option<Listed<'_>>, ConfigError> {
    let Some((path, values)) = text.split_once('=') else { return Ok(None) };
    let path = path.trim();
    let is_plain = !values.contains(['[', '{', '"', '\'']);
    if is_plain && values.contains(',') && values.split(',').any(|value| value.trim().is_empty()) {
        let help = "write `a,b`; a shell variable may be empty".to_owned();
        return Err(problem(text, path, "lists an empty value", Some(help)));
    }
    let document = match Document::from_override(text, path, &format!("[{values}]")) {
        Ok(document) => document,
        // What is wrong with a single value is said where it is applied.
        Err(_) if !values.contains(',') => return Ok(None),
        Err(problems) => return Err(ConfigError::new(problems)),
    };
    let items = document.value.as_array().cloned().unwrap_or_default();
    Ok((items.len() > 1).then_some((path, document, items)))
}

fn problem(text: &str, path: &str, message: &str, help: Option<String>) -> ConfigError {
    let span = Span::Override(text.into());
    ConfigError::new(vec![Located { span, path: path.into(), message: message.into(), help }])
}

fn seed_list(text: &str, items: &[Value]) -> Result<Vec<u64>, ConfigError> {
    let seeds: Option<Vec<u64>> = items.iter().map(Value::as_u64).collect();
    let distinct = seeds.filter(|s| (1..s.len()).all(|i| !s[..i].contains(&s[i])));
    distinct.ok_or_else(|| problem(text, "seed", "expected different whole numbers, 0 or more", None))
}

fn file(name: String, axes: Vec<Axis>, seeds: Option<Vec<u64>>) -> SweepFile {
    let span = Span::Override("-m".into());
    SweepFile {
        name,
        base: String::new(),
        base_place: span.clone(),
        method: Method::Grid,
        axes,
        arms: Vec::new(),
        exclude: Vec::new(),
        seeds,
        samples: 1,
        run_cap: CAP,
        cap_place: span.clone(),
        budget: None,
        gpus: None,
        early: None,
        metric: None,
        parameters_place: span,
    }
}
