//! What was meant: every section read, checked and built.

use ijepa_registry::{
    __kind,
    kinds::{Augmentation, Horizon, Probe, Regularized, RegularizerSettings, Schedule, ViewOptions},
    mask::Grid,
    metric::MetricDecl,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    collapse::CollapseRule,
    component::{Component, Part},
    data::DataFacts,
    history,
    identity::identity,
    init::InitSettings,
    sections::{
        COMPONENTS, Control, DataOptions, Device, ProbedEncoder, Section, TrainSettings, with_sections,
    },
    span::SourceMap,
};

macro_rules! experiment {
    ($($section:ident: $kind:ident, [$($alias:literal),*], $default:expr, $about:literal;)+) => {
        /// A validated experiment.
        #[derive(Debug)]
        pub struct Experiment {
            /// First part of the run folder's name.
            pub name: String,
            /// Seed of every random stream.
            pub seed: u64,
            /// Where the model runs.
            pub device: Device,
            $(
                #[doc = $about]
                pub $section: Component<__kind!($kind)>,
            )+
            /// Training images that are held out to choose by.
            pub validation: usize,
            /// How often masks are drawn, on which grid, and what is kept of them.
            pub views: ViewOptions,
            /// What is known of the images, where somebody has looked.
            pub data: Option<DataFacts>,
            /// Image pipeline, in order.
            pub augmentation: Vec<Component<dyn Augmentation>>,
            /// Further terms of the loss.
            pub regularizers: Vec<RegularizerSpec>,
            /// The weights that training starts from; none: initial values.
            pub init: Option<InitSettings>,
            /// Length of the run and its batches.
            pub train: TrainSettings,
            /// Evaluations of the frozen encoders.
            pub probes: Vec<ProbeSpec>,
            /// When the run counts as collapsed.
            pub collapse: Vec<CollapseRule>,
            /// What to tell the user though nothing is wrong: components replaced by overrides.
            pub notes: Vec<String>,
            pub(crate) places: SourceMap,
        }

        impl Experiment {
            /// Sections with one component each, in the order of a file.
            pub(super) fn components(&self) -> Vec<(&'static Section, &dyn Part)> {
                let parts: Vec<&dyn Part> = vec![$(&self.$section),+];
                COMPONENTS.iter().zip(parts).collect()
            }
        }
    };
}
with_sections!(experiment);

/// Columns of `metrics.csv` for a loss with further terms: the distance alone, then every term by its name.
pub fn term_columns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let terms: Vec<String> = names.map(|name| format!("loss.{name}")).collect();
    if terms.is_empty() { terms } else { [vec!["loss.prediction".to_owned()], terms].concat() }
}

/// A term that is added to the loss.
#[derive(Debug)]
pub struct RegularizerSpec {
    /// Its column in `metrics.csv` is `loss.NAME`.
    pub name: String,
    /// What it is multiplied with, over the steps.
    pub weight: Component<dyn Schedule>,
    /// What it looks at.
    pub on: Regularized,
    /// The term.
    pub component: Component<dyn RegularizerSettings>,
}

/// One evaluation: the probe, and when and on what it runs.
#[derive(Debug)]
pub struct ProbeSpec {
    /// Name of its rows in `probes.csv`.
    pub name: String,
    /// Epochs between two measurements; 0 measures only at the end.
    pub every: u64,
    /// Encoders to probe.
    pub encoders: Vec<ProbedEncoder>,
    /// Baselines to measure once beside them.
    pub controls: Vec<Control>,
    /// Label factors of the data set.
    pub labels: Vec<String>,
    /// Whether what it says of every image is left as a file.
    pub predictions: bool,
    /// Whether it is measured on held-out training images too.
    pub validation: bool,
    /// The probe.
    pub component: Component<dyn Probe>,
}

impl Experiment {
    /// The whole configuration with nothing left to default.
    pub fn resolved(&self) -> Value {
        let mut top = Map::new();
        top.insert("version".into(), json!(1));
        top.insert("name".into(), json!(self.name));
        top.insert("seed".into(), json!(self.seed));
        top.insert("device".into(), json!(self.device.to_string()));
        self.add_sections(&mut top, &|part| part.section());
        Value::Object(top)
    }

    /// [`Experiment::resolved`] as an experiment file: loading it gives the same identity.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(&self.resolved()).unwrap_or_default()
    }

    /// Twelve hexadecimal digits that differ whenever what is trained could. Name, device, logging and
    /// checkpoint intervals and settings whose schema says `x-cosmetic` do not count, nor do probes, unless
    /// a rule of `collapse` reads them.
    pub fn identity(&self) -> String {
        self.hashed(Map::from_iter([("seed".into(), json!(self.seed))]))
    }

    /// The same without the seed: what runs of one arm share.
    pub fn identity_of_arm(&self) -> String {
        self.hashed(Map::new())
    }

    /// The hash of what is given and of all that decides what is trained.
    fn hashed(&self, mut top: Map<String, Value>) -> String {
        self.add_sections(&mut top, &|part| part.decisive());
        history::forget_defaults(&mut top);
        let read = self.probes.iter().filter(|probe| probe.is_read_by(&self.collapse));
        top.insert("probes".into(), read.map(ProbeSpec::read_by_rules).collect());
        identity(&Value::Object(top))
    }

    /// Patches of an image.
    pub fn grid(&self) -> Grid {
        self.dataset.object.shape().grid(self.encoder.object.patch())
    }

    /// Length of the run if `train_count` images are trained on; incomplete batches are dropped.
    pub fn horizon(&self, train_count: usize) -> Horizon {
        self.train.horizon(train_count)
    }

    fn add_sections(&self, top: &mut Map<String, Value>, render: &dyn Fn(&dyn Part) -> Value) {
        let mut add = |name: &str, value: Value| top.insert(name.into(), value);
        for (Section { section, .. }, part) in self.components() {
            let value = match *section {
                "dataset" => with_changed(render(part), &DataOptions { validation: self.validation }),
                "masking" => with_changed(render(part), &self.views),
                _ => render(part),
            };
            add(section, value);
            if *section == "dataset" {
                add("augmentation", self.augmentation.iter().map(|a| render(a)).collect());
            }
        }
        add("regularizers", self.regularizers.iter().map(|term| render(term)).collect());
        if let Some(init) = &self.init {
            add("init", render(init));
        }
        add("train", render(&self.train));
        add("probes", self.probes.iter().map(|p| render(p)).collect());
        add("collapse", json!(self.collapse));
    }
}

/// End of the name of a metric that was measured on held-out training images.
pub const VALIDATION: &str = "@validation";

impl ProbeSpec {
    /// `probe/encoder/labels/metric` of everything it measures; without labels where it uses none. With
    /// `@validation` at the end for held-out training images.
    pub fn metric_names(&self) -> Vec<String> {
        self.declarations().into_iter().map(|(name, _)| name).collect()
    }

    /// [`ProbeSpec::metric_names`] with what the probe declares of each.
    pub fn declarations(&self) -> Vec<(String, MetricDecl)> {
        let controls = self.controls.iter().map(|c| json!(c));
        self.declared_on(self.encoders.iter().map(|e| json!(e)).chain(controls))
    }

    /// Those of [`ProbeSpec::metric_names`] that are measured during training.
    pub fn encoder_metrics(&self) -> Vec<String> {
        let declared = self.declared_on(self.encoders.iter().map(|e| json!(e)));
        declared.into_iter().map(|(name, _)| name).collect()
    }

    fn declared_on(&self, subjects: impl Iterator<Item = Value>) -> Vec<(String, MetricDecl)> {
        let probe = &self.component.object;
        let labels = if probe.uses_labels() { self.labels.clone() } else { vec![String::new()] };
        let mut declared = Vec::new();
        for subject in subjects {
            for label in &labels {
                for metric in probe.metrics() {
                    let parts = [&self.name, subject.as_str().unwrap_or_default(), label, metric.name];
                    let name = metric_name(parts);
                    if self.validation {
                        declared.push((format!("{name}{VALIDATION}"), metric));
                    }
                    declared.push((name, metric));
                }
            }
        }
        declared
    }

    /// Eight hexadecimal digits that differ whenever what is measured could: kind and decisive settings.
    pub fn protocol(&self) -> String {
        identity(&self.component.decisive())[..8].to_owned()
    }

    /// Whether an encoder or control of this name is measured.
    fn is_on(&self, encoder: &str) -> bool {
        let controls = self.controls.iter().map(|c| json!(c));
        self.encoders.iter().map(|e| json!(e)).chain(controls).any(|name| name == encoder)
    }

    /// Whether a rule ends runs by one of its metrics.
    fn is_read_by(&self, rules: &[CollapseRule]) -> bool {
        let metrics = self.encoder_metrics();
        rules.iter().any(|rule| metrics.contains(&rule.metric))
    }

    /// What rules depend on: which metrics they read is in the rules.
    fn read_by_rules(&self) -> Value {
        json!({ "name": self.name, "every": self.every, "probe": self.component.decisive() })
    }

    fn with_options(&self, section: Value) -> Value {
        let mut options = json!({
            "name": self.name,
            "every": self.every,
            "encoders": self.encoders,
            "controls": self.controls,
            "labels": self.labels,
        });
        if self.predictions {
            options["predictions"] = json!(true);
        }
        with_options(&self.component.kind, options, section)
    }
}

/// A component in a list: the keys of its entry behind `kind`, before its settings.
fn with_options(kind: &str, options: Value, settings: Value) -> Value {
    let mut all = Map::from_iter([("kind".to_owned(), json!(kind))]);
    for map in [options, settings] {
        all.extend(map.as_object().cloned().unwrap_or_default());
    }
    Value::Object(all)
}

/// What the rows of one measurement at the end of a run share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Name of the probe.
    pub probe: String,
    /// Encoder or control.
    pub encoder: String,
    /// Label factor; empty for a probe without labels.
    pub labels: String,
    /// [`ProbeSpec::protocol`].
    pub protocol: String,
}

/// Everything that is measured at the end of a run, in the order of its rows: encoders, then controls; on
/// each the probes in the order of the file.
pub fn last_measurements(probes: &[ProbeSpec]) -> Vec<Measurement> {
    let mut all = Vec::new();
    for encoder in ["target", "context", "random_init", "pixels", "pca"] {
        for spec in probes.iter().filter(|spec| spec.is_on(encoder)) {
            let uses_labels = spec.component.object.uses_labels();
            let labels = if uses_labels { spec.labels.clone() } else { vec![String::new()] };
            all.extend(labels.into_iter().map(|labels| Measurement {
                probe: spec.name.clone(),
                encoder: encoder.into(),
                labels,
                protocol: spec.protocol(),
            }));
        }
    }
    all
}

/// A section with the keys that belong to no kind of its component, where they are not what they are without it.
fn with_changed<O: Serialize + Default>(mut section: Value, options: &O) -> Value {
    if let Value::Object(map) = &mut section {
        map.extend(changed(options));
    }
    section
}

/// Options that are not their defaults.
pub(super) fn changed<O: Serialize + Default>(options: &O) -> Map<String, Value> {
    let [all, defaults] = [options, &O::default()].map(|o| serde_json::to_value(o).unwrap_or_default());
    let all = all.as_object().into_iter().flatten();
    all.filter(|(key, value)| defaults[key.as_str()] != **value)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// The name of a metric from probe, encoder, labels and metric; empty parts are left out.
pub fn metric_name(parts: [&str; 4]) -> String {
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/")
}

impl RegularizerSpec {
    fn with_options(&self, settings: Value, weight: Value) -> Value {
        let options = json!({ "name": self.name, "on": self.on, "weight": weight });
        with_options(&self.component.kind, options, settings)
    }
}

impl Part for RegularizerSpec {
    fn section(&self) -> Value {
        self.with_options(self.component.section(), self.weight.section())
    }
    fn decisive(&self) -> Value {
        self.with_options(self.component.decisive(), self.weight.decisive())
    }
}

impl Part for ProbeSpec {
    fn section(&self) -> Value {
        self.with_options(self.component.section())
    }
    fn decisive(&self) -> Value {
        self.with_options(self.component.decisive())
    }
}
