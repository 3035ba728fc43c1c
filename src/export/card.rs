//! The model card: what a model is, how well it does, how it was trained, and the lines that load it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    classifier::Classifier,
    encoder::Encoder,
    preprocessing::Preprocessing,
    request::{Library, ModelRequest},
    timm,
};
use crate::{
    results::{
        MetricMeanings,
        card::RunCard,
        columns::{PROBES, ProbeRow, number},
        read,
    },
    run::{RunError, stored::StoredRun},
};

/// What is said of a run.
pub(super) struct Card {
    name: String,
    /// Name and seed of the experiment.
    title: String,
    identity: String,
    step: u64,
    images: String,
    /// Kind of the data set, and what its card on the hub is called.
    dataset: (String, Option<&'static str>),
    /// Results at the step of the weights, of the encoder that is taken along and of the controls.
    results: Vec<Row>,
    /// The experiment without folders.
    experiment: String,
}

/// One metric: name without the encoder, unit, values of the encoder and of the controls.
struct Row {
    probe: String,
    labels: String,
    metric: String,
    unit: String,
    values: [Option<f64>; 1 + CONTROLS.len()],
}

/// Columns of the table of results beside the encoder, where they were measured, and what they are.
const CONTROLS: [(&str, &str); 3] = [
    ("random_init", "the encoder as training started from it"),
    ("pixels", "no encoder at all"),
    ("pca", "principal components of patches, as many as the encoder is wide"),
];

impl Card {
    /// Of a run whose encoder `subject` is taken along.
    pub fn read(run: &StoredRun, subject: &str) -> Result<Self, RunError> {
        let damaged = |error| RunError::Damaged(error, run.folder.clone());
        let cards = RunCard::read_all(&run.folder).map_err(damaged)?;
        let mut experiment = run.experiment.resolved();
        if let Some(section) = experiment["dataset"].as_object_mut() {
            ["path", "cache"].iter().for_each(|folder| drop(section.shift_remove(*folder)));
        }
        let kind = run.experiment.dataset.kind.clone();
        let hub = match kind.as_str() {
            "cifar10" => Some("uoft-cs/cifar10"),
            "cifar100" => Some("uoft-cs/cifar100"),
            "mnist" => Some("ylecun/mnist"),
            "fashion_mnist" => Some("zalando-datasets/fashion_mnist"),
            _ => None,
        };
        Ok(Card {
            name: run.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            title: format!("{}, seed {}", run.experiment.name, run.experiment.seed),
            identity: run.weights.identity.clone(),
            step: run.weights.step,
            images: cards.last().map(|card| card.images.clone()).unwrap_or_default(),
            dataset: (kind, hub),
            results: results(run, subject).map_err(damaged)?,
            experiment: serde_yaml::to_string(&experiment).unwrap_or_default(),
        })
    }

    /// `README.md`.
    pub fn text(
        &self,
        encoder: &Encoder,
        image: &Preprocessing,
        classifier: Option<&Classifier>,
        request: &ModelRequest,
    ) -> String {
        let front = serde_yaml::to_string(&self.front(classifier, request)).unwrap_or_default();
        let mut text = format!("---\n{front}---\n\n# {}\n\n", self.title);
        let (subject, depth, dim, heads) = (encoder.subject, encoder.depth, encoder.dim, encoder.heads);
        let (size, patch) = (image.size, encoder.patch);
        let what =
            if subject == "target" { "the moving average (target)" } else { "the trained (context) encoder" };
        let _ = writeln!(
            text,
            "The encoder of an I-JEPA run of `ijepa-run` ({what}): a vision transformer of {depth} blocks, width {dim}, \
             {heads} heads, for images of {size} x {size} pixels in patches of {patch} x {patch}, without class token. A \
             feature is the mean of the output tokens.\n"
        );
        if let Some(c) = classifier {
            let _ = writeln!(
                text,
                "On top is its linear probe `{}` for `{}`: {} % of {} test images are classified correctly.\n",
                c.probe,
                c.labels,
                number(c.top1),
                c.images
            );
        }
        let _ = writeln!(text, "```python\n{}```\n", loading(encoder, classifier.is_some(), request.library));
        text.push_str(&self.table(subject));
        let _ = writeln!(
            text,
            "## Training\n\nRun `{}`, experiment {}, {} steps. {}\n\n```yaml\n{}```",
            self.name, self.identity, self.step, self.images, self.experiment
        );
        text
    }

    /// What the hub reads.
    fn front(&self, classifier: Option<&Classifier>, request: &ModelRequest) -> Value {
        let library = if request.library == Library::Timm { "timm" } else { "transformers" };
        let task = if classifier.is_some() { "image-classification" } else { "image-feature-extraction" };
        let mut front = json!({ "library_name": library, "pipeline_tag": task });
        if let Some(license) = &request.license {
            front["license"] = json!(license);
        }
        if let Some(hub) = self.dataset.1 {
            front["datasets"] = json!([hub]);
        }
        front["tags"] = json!(["ijepa", "self-supervised", "ijepa-run"]);
        let accuracy = |row: &&Row| row.metric == "top1" && row.values[0].is_some();
        let results: Vec<Value> = self.results.iter().filter(accuracy).map(|row| self.result(row)).collect();
        if !results.is_empty() {
            front["model-index"] = json!([{ "name": self.name, "results": results }]);
        }
        front
    }

    fn result(&self, row: &Row) -> Value {
        let (kind, hub) = &self.dataset;
        let of = if row.labels.is_empty() { String::new() } else { format!(", {}", row.labels) };
        json!({
            "task": { "type": "image-classification", "name": format!("{} probe{of}", row.probe) },
            "dataset": { "type": hub.unwrap_or(kind), "name": kind, "split": "test" },
            "metrics": [{ "type": "accuracy", "value": row.values[0], "name": "top-1 accuracy, %" }],
        })
    }

    fn table(&self, subject: &str) -> String {
        if self.results.is_empty() {
            return String::new();
        }
        let is_measured = |column: usize| self.results.iter().any(|row| row.values[column].is_some());
        let controls: Vec<usize> = (0..CONTROLS.len()).filter(|i| is_measured(1 + i)).collect();
        let shown: Vec<usize> = [0].into_iter().chain(controls.iter().map(|i| 1 + i)).collect();
        let names = controls.iter().map(|&i| format!(" {} |", CONTROLS[i].0)).collect::<String>();
        let rule = "---|".repeat(3 + shown.len());
        let mut text =
            format!("## Results on test images\n\n| probe | labels | metric | {subject} |{names}\n|{rule}\n");
        for Row { probe, labels, metric, unit, values } in &self.results {
            let cell = |&column: &usize| values[column].map_or_else(String::new, number);
            let cells = shown.iter().map(cell).collect::<Vec<_>>().join(" | ");
            let unit = if unit == "1" { String::new() } else { format!(", {unit}") };
            let _ = writeln!(text, "| {probe} | {labels} | {metric}{unit} | {cells} |");
        }
        let meaning = |&i: &usize| format!("`{}` is {}", CONTROLS[i].0, CONTROLS[i].1);
        let meanings = controls.iter().map(meaning).collect::<Vec<_>>().join(", ");
        text.push_str(&if meanings.is_empty() { "\n".into() } else { format!("\n{meanings}.\n\n") });
        text
    }
}

/// Metrics of which one direction is good, at the step of the weights.
fn results(run: &StoredRun, subject: &str) -> Result<Vec<Row>, read::FileError> {
    let meanings = MetricMeanings::read(&run.folder)?.unwrap_or_default();
    let rows: Vec<ProbeRow> = read::rows(&run.folder, &PROBES)?;
    let counts = |row: &&ProbeRow| {
        let decides = meanings.find(&row.name()).is_none_or(|m| m.direction.decides());
        row.step == run.weights.step && row.split == crate::results::ProbedSplit::Test && decides
    };
    let mut all: Vec<Row> = Vec::new();
    for row in rows.iter().filter(counts) {
        let mut columns = [subject].into_iter().chain(CONTROLS.iter().map(|(name, _)| *name));
        let Some(column) = columns.position(|name| name == row.encoder) else { continue };
        let same = |r: &Row| (&r.probe, &r.labels, &r.metric) == (&row.probe, &row.labels, &row.metric);
        let place = all.iter().position(same).unwrap_or_else(|| {
            all.push(Row {
                probe: row.probe.clone(),
                labels: row.labels.clone(),
                metric: row.metric.clone(),
                unit: row.unit.clone(),
                values: Default::default(),
            });
            all.len() - 1
        });
        all[place].values[column] = Some(row.value);
    }
    Ok(all)
}

/// The lines that load the model from its folder.
fn loading(encoder: &Encoder, classifies: bool, library: Library) -> String {
    match (library, classifies) {
        (Library::Transformers, false) => "from transformers import AutoImageProcessor, AutoModel\n\n\
            processor, model = AutoImageProcessor.from_pretrained(DIR), AutoModel.from_pretrained(DIR)\n\
            tokens = model(**processor(images, return_tensors=\"pt\")).last_hidden_state  # (image, patch, dim)\n\
            features = tokens.mean(1)\n"
            .into(),
        (Library::Transformers, true) => "from transformers import pipeline\n\n\
            pipeline(\"image-classification\", DIR)(images)\n"
            .into(),
        (Library::Timm, _) => {
            let mut lines = "import timm\n\nmodel = timm.create_model(\"local-dir:\" + DIR, pretrained=True).eval()\n\
                transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n"
                .to_owned();
            if encoder.eps != timm::EPS {
                let _ = write!(
                    lines,
                    "# timm's layer norms have eps {:e}; those of the run have {:e}\n\
                     for module in model.modules():\n    if isinstance(module, torch.nn.LayerNorm):\n        module.eps = {:e}\n",
                    timm::EPS,
                    encoder.eps,
                    encoder.eps
                );
            }
            lines
        }
    }
}
