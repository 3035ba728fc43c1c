//! Runs that differ only in their seed are one arm.

use std::{collections::HashMap, path::PathBuf};

use super::{
    error::AnalysisError,
    images::{Images, short},
    labels,
    runs::Run,
    settings::{SettingDifference, Settings, differences, essential},
};

/// Replicates of one experiment.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Name of the experiment, with the settings that set it apart from others of that name.
    pub label: String,
    /// The label with only what differs between the arms.
    pub short: String,
    /// Name of the experiment.
    pub name: String,
    /// What its runs share.
    pub settings: Settings,
    /// At least one run, in order of appearance.
    pub runs: Vec<Run>,
}

impl Arm {
    /// Fingerprints of the data of its runs, which they share.
    pub fn images(&self) -> Images {
        Images::of(&self.runs)
    }
}

/// Setting that tells arms apart whose files say the same: which argument they came from.
const INPUT: &str = "input";

/// Arms in order of appearance, and notes about copies that were left out and about images that differ for
/// `metric`. Same name and same settings make an arm. Where seeds come back in another argument (`compare
/// before after`), every argument has its own arm.
pub fn group(
    runs: Vec<Run>,
    inputs: &[PathBuf],
    metric: &str,
) -> Result<(Vec<Arm>, Vec<String>), AnalysisError> {
    let alike = gather(runs, |run| (run.name.clone(), run.settings.clone()));
    let mut arms: Vec<Arm> = alike.into_iter().flat_map(|runs| split(runs, inputs)).collect();
    label(&mut arms);
    let mut notes = Vec::new();
    for arm in &mut arms {
        notes.extend(drop_copies(arm)?);
        refuse_mixed_data(arm)?;
    }
    notes.extend(different_data(&arms, metric));
    notes.extend(unsealed(&arms));
    Ok((arms, notes))
}

/// Arms of runs as they come, with their labels and without a judgement: copies stay, and other data too.
pub fn labelled(runs: Vec<Run>) -> Vec<Arm> {
    let alike = gather(runs, |run| (run.name.clone(), run.settings.clone()));
    let mut arms: Vec<Arm> = alike.into_iter().flat_map(|runs| split(runs, &[])).collect();
    label(&mut arms);
    arms
}

/// Runs with equal keys, in order of appearance.
fn gather<K: std::hash::Hash + Eq>(runs: Vec<Run>, key: impl Fn(&Run) -> K) -> Vec<Vec<Run>> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<Vec<Run>> = Vec::new();
    for run in runs {
        let next = groups.len();
        let place = *places.entry(key(&run)).or_insert(next);
        if place == next {
            groups.push(Vec::new());
        }
        groups[place].push(run);
    }
    groups
}

/// One arm, or one per argument if a seed is in two of them.
fn split(runs: Vec<Run>, inputs: &[PathBuf]) -> Vec<Arm> {
    let repeats = |(i, a): (usize, &Run)| {
        runs[..i].iter().any(|b| a.input != b.input && a.seed.is_some() && a.seed == b.seed)
    };
    let apart = runs.iter().enumerate().any(repeats);
    let groups = if apart { gather(runs, |run| run.input) } else { vec![runs] };
    let arm = |runs: Vec<Run>| {
        let mut settings = runs[0].settings.clone();
        if apart {
            settings.0.push((INPUT.into(), inputs[runs[0].input].display().to_string()));
        }
        Arm { label: String::new(), short: String::new(), name: runs[0].name.clone(), settings, runs }
    };
    groups.into_iter().map(arm).collect()
}

/// Labels every arm: the name alone if no other arm has it.
fn label(arms: &mut [Arm]) {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    arms.iter().enumerate().for_each(|(i, arm)| by_name.entry(&arm.name).or_default().push(i));
    let mut labels = vec![String::new(); arms.len()];
    for namesakes in by_name.values() {
        let settings: Vec<&Settings> = namesakes.iter().map(|&i| &arms[i].settings).collect();
        let all = differences(&settings);
        let short = suffixes(&essential(&all), namesakes.len());
        let suffixes =
            if unique(&short) { short } else { suffixes(&all.iter().collect::<Vec<_>>(), namesakes.len()) };
        namesakes.iter().zip(suffixes).for_each(|(&i, s)| labels[i] = format!("{}{s}", arms[i].name));
    }
    let short = labels::short(&labels.iter().map(String::as_str).collect::<Vec<_>>());
    arms.iter_mut().zip(labels.into_iter().zip(short)).for_each(|(arm, (label, short))| {
        arm.label = label;
        arm.short = short;
    });
}

/// Per arm ` encoder.depth=4 masking=random`, as an override would be typed.
fn suffixes(differences: &[&SettingDifference], arms: usize) -> Vec<String> {
    let words = |arm: usize| {
        let word = |d: &&SettingDifference| {
            format!(" {}={}", d.path.strip_suffix(".kind").unwrap_or(&d.path), d.values[arm])
        };
        differences.iter().map(word).collect()
    };
    (0..arms).map(words).collect()
}

fn unique(words: &[String]) -> bool {
    words.iter().enumerate().all(|(i, word)| !words[..i].contains(word))
}

/// Keeps one of several copies of a run; refuses two different runs of one seed.
fn drop_copies(arm: &mut Arm) -> Result<Vec<String>, AnalysisError> {
    let (mut kept, mut notes): (Vec<Run>, Vec<String>) = (Vec::new(), Vec::new());
    for run in std::mem::take(&mut arm.runs) {
        match kept.iter().find(|k| k.seed.is_some() && k.seed == run.seed) {
            None => kept.push(run),
            Some(first) if first.same_numbers(&run) => {
                let (copy, of) = (run.source.display(), first.source.display());
                notes.push(format!("{copy} is a copy of {of}: counted once"));
            }
            Some(first) => return Err(repeated_seed(&arm.label, first, &run)),
        }
    }
    arm.runs = kept;
    Ok(notes)
}

fn repeated_seed(label: &str, a: &Run, b: &Run) -> AnalysisError {
    let seed = a.seed.as_deref().unwrap_or("");
    let (a, b) = (a.source.display(), b.source.display());
    let message = format!("arm `{label}` has two different runs of seed {seed}: {a} and {b}");
    AnalysisError::new(message)
        .help("a seed counts once: leave one out, or name their folders as two arguments to compare them")
}

/// An arm whose runs saw different data has no mean.
fn refuse_mixed_data(arm: &Arm) -> Result<(), AnalysisError> {
    let known = |run: &&Run| !run.images.all.is_empty();
    let Some(first) = arm.runs.iter().find(known) else { return Ok(()) };
    let differs = |run: &&Run| run.images.all != first.images.all;
    let Some(other) = arm.runs.iter().filter(known).find(differs) else { return Ok(()) };
    let (a, b) = (first.source.display(), other.source.display());
    let message = format!(
        "arm `{}` mixes runs on different data: {a} ({}) and {b} ({})",
        arm.label,
        short(&first.images.all),
        short(&other.images.all)
    );
    Err(AnalysisError::new(message).help("give the experiments different names to compare data sets"))
}

/// A warning where arms are judged on different data, and a note where they were only trained on such.
fn different_data(arms: &[Arm], metric: &str) -> Option<String> {
    let of_arm = |arm: &Arm| (arm.label.clone(), arm.images().judging(metric));
    let known: Vec<(String, Images)> =
        arms.iter().map(of_arm).filter(|(_, images)| !images.short().is_empty()).collect();
    // Every pair: of a run of version 0.1.0 less is known than of others.
    let differ = known.iter().enumerate().any(|(i, (_, a))| known[..i].iter().any(|(_, b)| a.differ(b)));
    if differ {
        return Some(format!(
            "warning: the arms are judged on different data, so those are not judged against each other; \
             a difference may come from the data alone ({})",
            listed(&known, Images::short)
        ));
    }
    let trained_alike = known.iter().all(|(_, images)| images.all == known[0].1.all);
    let what = "the arms were trained on different images, and are judged on the same test images";
    (!trained_alike).then(|| format!("{what} ({})", listed(&known, |images| short(&images.all))))
}

fn listed(arms: &[(String, Images)], print: impl Fn(&Images) -> &str) -> String {
    arms.iter().map(|(label, images)| format!("{label}: {}", print(images))).collect::<Vec<_>>().join("; ")
}

/// A note where nothing vouches for tables.
fn unsealed(arms: &[Arm]) -> Option<String> {
    let count = arms.iter().flat_map(|arm| &arm.runs).filter(|run| run.is_unsealed()).count();
    let what = "version 0.1.0 wrote them, and nothing vouches for their tables";
    (count > 0).then(|| format!("unsealed runs: {count}; {what} (`ijepa-run verify --accept` seals them)"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{analysis::runs::Measured, results::RunState};

    const TOP1: &str = "linear/target/class/top1";

    fn run(name: &str, seed: u64, depth: u64, input: usize, value: f64) -> Run {
        Run {
            source: format!("{name}-s{seed}").into(),
            input,
            name: name.into(),
            seed: Some(seed.to_string()),
            state: RunState::Pending,
            settings: Settings::of(&json!({"encoder": {"depth": depth}})),
            images: Images::default(),
            measured: Measured::Column(vec![(0, value)]),
            meanings: Default::default(),
            linear: Vec::new(),
            damage: None,
            end: None,
            version: String::new(),
        }
    }

    fn grouped(runs: Vec<Run>) -> Result<Vec<(String, usize)>, AnalysisError> {
        let (arms, _) = group(runs, &["old".into(), "new".into()], TOP1)?;
        Ok(arms.into_iter().map(|arm| (arm.label, arm.runs.len())).collect())
    }

    #[test]
    fn the_seed_alone_makes_no_arm() {
        let runs = vec![run("a", 0, 4, 0, 1.0), run("a", 0, 6, 0, 2.0), run("a", 1, 4, 0, 3.0)];
        let expected = [("a encoder.depth=4".to_string(), 2), ("a encoder.depth=6".to_string(), 1)];
        assert_eq!(grouped(runs).expect("two arms"), expected);
    }

    #[test]
    fn seeds_that_come_back_in_another_argument_make_another_arm() {
        let runs = vec![run("a", 0, 4, 0, 1.0), run("a", 0, 4, 1, 1.0), run("b", 0, 4, 1, 1.0)];
        let expected = [("a input=old", 1), ("a input=new", 1), ("b", 1)];
        assert_eq!(grouped(runs).expect("three arms"), expected.map(|(l, n)| (l.to_string(), n)));
    }

    #[test]
    fn a_seed_counts_once() {
        let copies = vec![run("a", 0, 4, 0, 1.0), run("a", 0, 4, 0, 1.0)];
        assert_eq!(grouped(copies).expect("one arm"), [("a".to_string(), 1)]);
        let error = grouped(vec![run("a", 0, 4, 0, 1.0), run("a", 0, 4, 0, 2.0)]).expect_err("refused");
        assert!(error.to_string().contains("two different runs of seed 0"), "{error}");
    }

    #[test]
    fn different_data_is_refused_within_an_arm_and_warned_of_between_arms() {
        let on = |run: Run, all: &str| Run { images: Images { all: all.into(), ..Images::default() }, ..run };
        let within = vec![on(run("a", 0, 4, 0, 1.0), "x"), on(run("a", 1, 4, 0, 1.0), "y")];
        assert!(group(within, &[], TOP1).is_err());
        let between = vec![on(run("a", 0, 4, 0, 1.0), "x"), on(run("b", 0, 4, 0, 1.0), "y")];
        let (_, notes) = group(between, &[], TOP1).expect("two arms");
        assert!(notes[0].contains("a: x; b: y"), "{notes:?}");
    }
}
