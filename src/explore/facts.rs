//! What a run is, in words.

use std::path::Path;

use crate::{
    config,
    model::BuildDevice,
    results::{EXPERIMENT, FileError, Status, card::RunCard, read},
    train::Session,
};

/// Name and text of what is to be known of the run in `folder`, of whose weights those of an epoch may be meant.
pub(super) fn facts(folder: &Path, epoch: Option<u64>) -> Result<Vec<(&'static str, String)>, FileError> {
    let mut facts = vec![("Folder", folder_name(folder))];
    if let Some(status) = Status::read(folder)? {
        facts.push(("State", format!("{}, step {} of {}", status.state, status.step, status.steps)));
    }
    facts.extend(epoch.map(|epoch| ("Weights", format!("of epoch {epoch}; curves are of the whole run"))));
    if let Some(card) = RunCard::read_all(folder).unwrap_or_default().pop().filter(|c| !c.images.is_empty()) {
        facts.push(("Images", card.images));
    }
    let path = folder.join(EXPERIMENT);
    let text = read::text(&path)?.unwrap_or_default();
    if let Ok(experiment) = config::load_stored(&path.to_string_lossy(), &text, &["probes=[]".into()]) {
        let brief = experiment.brief();
        let settings: Vec<String> = brief.iter().map(|(key, value)| format!("{}={value}", key)).collect();
        facts.push(("Settings", format!("{}; all others at their defaults", settings.join(", "))));
    }
    Ok(facts)
}

/// The same of a model of another program.
pub(super) fn facts_of_model<D: BuildDevice>(
    file: &Path,
    session: &Session<D>,
) -> Vec<(&'static str, String)> {
    let count: usize = session.jepa.context_encoder.params().iter().map(|param| param.len()).sum();
    vec![
        ("File", file.display().to_string()),
        (
            "Model",
            format!("vision transformer in timm's names, {count} values; probes and curves it has none"),
        ),
    ]
}

/// Name of a folder, also of one that is given as `.`.
pub(super) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.into());
    whole.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned())
}
