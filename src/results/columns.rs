//! Every column of every CSV file, declared once: name, unit, meaning, which direction is good.

use ijepa_registry::metric::Direction;

use crate::events::{EpochRow, MetricsRow, ProbeRow};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Header cell.
    pub name: &'static str,
    /// Unit; empty for names and plain numbers.
    pub unit: &'static str,
    /// One line of meaning.
    pub meaning: &'static str,
    /// Which direction is good, for metrics.
    pub direction: Direction,
}

impl Column {
    const fn good(self, direction: Direction) -> Self {
        Column { direction, ..self }
    }
}

/// A CSV file of the run folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// File name in the run folder.
    pub file: &'static str,
    /// What a row is.
    pub row: &'static str,
    /// Columns in order.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, unit, meaning, direction: Direction::Neither }
}

const STEP: Column = column("step", "steps", "optimizer steps done");
const EPOCH: Column = column("epoch", "epochs", "epochs completed, or the one under way, from 1");
const IMAGES: Column = column("images", "images", "training images seen");

/// `metrics.csv`.
pub const METRICS: Table = Table {
    file: "metrics.csv",
    row: "one every `train.log_every` steps",
    columns: &[
        STEP,
        EPOCH,
        IMAGES,
        column("learning_rate", "1", "learning rate of this step"),
        column("weight_decay", "1", "weight decay of this step"),
        column("ema_momentum", "1", "share of the old target encoder kept in this step"),
        column("loss", "loss units", "training loss, mean over the steps since the last row")
            .good(Direction::Lower),
        column("gradient_norm", "1", "Euclidean norm of all gradients of this step, before clipping"),
        column(
            "explained_variance",
            "1",
            "1 - squared error / variance of the targets, of this step: 1 is perfect, 0 is the mean",
        )
        .good(Direction::Higher),
        column(
            "explained_variance_constant",
            "1",
            "the same for a constant prediction (mean of the batch's other targets): about 0",
        ),
        column(
            "explained_variance_position",
            "1",
            "the same for the mean of the batch's other targets at the same position: what knowing only *where* explains",
        ),
        column(
            "target_std",
            "1",
            "standard deviation of the targets over the batch, mean over features: 0 is collapse",
        ),
        column(
            "prediction_std",
            "1",
            "standard deviation of the predictions over the batch, mean over features",
        ),
        column("context_patches", "patches", "patches per context, mean over the batch"),
        column("target_patches", "patches", "patches per target block, mean over the batch"),
        column("target_coverage", "patches", "distinct target patches per image, mean over the batch"),
        column("mask_redraws", "draws", "mask draws thrown away since the start of the run"),
    ],
};

/// `epochs.csv`.
pub const EPOCHS: Table = Table {
    file: "epochs.csv",
    row: "one per epoch",
    columns: &[
        EPOCH,
        STEP,
        IMAGES,
        column("loss", "loss units", "training loss, mean over the epoch").good(Direction::Lower),
    ],
};

/// `probes.csv`.
pub const PROBES: Table = Table {
    file: "probes.csv",
    row: "one per measured value (tidy form)",
    columns: &[
        EPOCH,
        STEP,
        column("probe", "", "name of the probe in the experiment file"),
        column(
            "encoder",
            "",
            "whose features: `target`, `context`, or a control (`random_init`: the encoder before training, `pixels`: no encoder)",
        ),
        column(
            "labels",
            "",
            "what is predicted: `class`, another factor of the data set, or empty if the probe uses no labels",
        ),
        column("metric", "", "metric of the probe (`ijepa-run components probe NAME` describes it)"),
        column("unit", "", "unit of the value"),
        column("value", "see unit", "the measured value"),
    ],
};

/// `timing.csv`: the only table whose numbers differ between two runs of the same file.
pub const TIMING: Table = Table {
    file: "timing.csv",
    row: "one per epoch and process",
    columns: &[
        EPOCH,
        STEP,
        column("seconds", "s", "wall time spent training since the last row, probes excluded"),
        column("images_per_second", "images/s", "training throughput over these seconds")
            .good(Direction::Higher),
        column("peak_memory", "MiB", "largest resident memory of the process so far; empty where unknown"),
    ],
};

/// All tables of a run folder.
pub const TABLES: [Table; 4] = [METRICS, EPOCHS, PROBES, TIMING];

const ARM: Column =
    column("arm", "", "name of the experiment, and what sets it apart from others of that name");
const METRIC: Column = column("metric", "", "what is compared, such as `linear/target/class/top1`");

/// `arms.csv` of a comparison.
pub const ARMS: Table = Table {
    file: "arms.csv",
    row: "one per arm: runs that differ only in their seed",
    columns: &[
        ARM,
        column(
            "param.<path>",
            "",
            "one column per setting that differs between arms: its value; empty if absent",
        ),
        METRIC,
        column("n", "runs", "runs with a value: those that the statistics are of"),
        column(
            "n_failed",
            "runs",
            "runs without a value that did not break down: failed, unfinished or not measured",
        ),
        column("n_diverged", "runs", "runs that diverged"),
        column("n_collapsed", "runs", "runs that a collapse rule ended"),
        column("mean", "metric", "mean over the runs"),
        column("std", "metric", "standard deviation over the runs, divisor n - 1"),
        column("stderr", "metric", "standard error of the mean"),
        column("median", "metric", "median over the runs"),
        column(
            "iqm",
            "metric",
            "interquartile mean: without the lowest and highest n / 4 runs, rounded down",
        ),
        column("ci_lo", "metric", "lower end of the 95 % interval of the mean"),
        column("ci_hi", "metric", "upper end of the 95 % interval of the mean"),
        column("ci_method", "", "`t` (Student, below 8 runs) or `bca` (bootstrap over runs)"),
        column("min", "metric", "smallest value"),
        column("max", "metric", "largest value"),
    ],
};

/// `comparisons.csv` of a comparison.
pub const COMPARISONS: Table = Table {
    file: "comparisons.csv",
    row: "one per arm other than the baseline",
    columns: &[
        column("baseline", "", "arm that the others are compared with"),
        ARM,
        METRIC,
        column("goal", "", "`higher` or `lower`: which direction is better"),
        column("design", "", "`paired` (by seed) or `unpaired`"),
        column("n_pairs", "pairs", "seeds with a value in both arms; empty if unpaired"),
        column("diff", "metric", "mean of the arm minus mean of the baseline"),
        column("diff_ci_lo", "metric", "lower end of the 95 % t interval of the difference"),
        column("diff_ci_hi", "metric", "upper end of the 95 % t interval of the difference"),
        column("rel_diff_pct", "%", "difference in percent of the baseline's mean"),
        column("test", "", "`paired_t` or `welch_t`"),
        column("p", "1", "two-sided p-value of the test"),
        column("p_holm", "1", "p-value adjusted for the number of arms (Holm)"),
        column("p_improve", "1", "probability that a run of the arm is better: share of pairs, or U / (n m)"),
        column("effect_size", "1", "Cohen's d_z if paired, Hedges' g if not; sign of `diff`"),
        column("n_for_80_power", "runs", "pairs, or runs per arm, for 80 % power at this effect"),
        column("verdict", "", "`better`, `worse`, `equivalent`, `inconclusive` or `underpowered`"),
    ],
};

/// Tables of a comparison.
pub const COMPARISON_TABLES: [Table; 2] = [ARMS, COMPARISONS];
const RUN_ID: Column = column("run_id", "", "name of the run folder");
const SWEEP_ARM: Column = column("arm", "", "name of the arm: its runs differ in the seed only");
const SEED: Column = column("seed", "", "seed of the run");

/// `plan.csv` of a sweep folder.
pub const PLAN: Table = Table {
    file: "plan.csv",
    row: "one per run, written before the first run starts",
    columns: &[
        column("index", "", "position in the plan, from 0: `configs/INDEX.yaml` and `logs/INDEX.log`"),
        RUN_ID,
        SWEEP_ARM,
        SEED,
        column("changed", "", "settings the arm changes in the base experiment"),
        column("epochs", "epochs", "length of the run"),
        column("steps", "steps", "optimizer steps; empty if that depends on data not loaded yet"),
        column("parameters", "values", "values that the optimizer updates"),
        column("tokens", "tokens", "context tokens, and target tokens of every context, of all steps"),
        column(
            "gflop",
            "GFLOP",
            "useful operations of the matrix products of all steps; empty for components of unknown sizes",
        ),
        column(
            "memory",
            "MiB",
            "estimate of the process's resident memory on a processor while it trains; probes may take more",
        ),
    ],
};

/// `runs.csv` of a sweep folder. Names in angle brackets stand for any number of columns.
pub const RUNS: Table = Table {
    file: "runs.csv",
    row: "one per run in the order of the plan; rewritten whenever a run ends",
    columns: &[
        RUN_ID,
        SWEEP_ARM,
        SEED,
        column("status", "", "`pending`, `running`, `stopped`, `done`, `diverged`, `collapsed` or `failed`"),
        column("reason", "", "why it ended as it did; empty for `done`"),
        column("steps", "steps", "optimizer steps done at the last checkpoint, or at the end"),
        column(
            "param.<path>",
            "",
            "value of a setting that the sweep varies; empty if the run has no such setting",
        ),
        column(
            "metric.<probe/encoder/labels/metric>.last",
            "see probes.csv",
            "last value of the metric in the run's `probes.csv`; empty if not measured",
        ),
        column(
            "metric.<the sweep's metric>.best",
            "see probes.csv",
            "best value of the metric that the sweep is judged by, chosen with hindsight",
        ),
        column("metric.<the sweep's metric>.best_step", "steps", "optimizer steps at that value"),
    ],
};

/// `decisions.csv` of a sweep folder.
pub const DECISIONS: Table = Table {
    file: "decisions.csv",
    row: "one per arm and rung of early termination",
    columns: &[
        column("epoch", "epochs", "epoch after which it was decided"),
        column("rule", "", "`asha` or `median`"),
        column("metric", "", "what the arms are judged by"),
        SWEEP_ARM,
        column("value", "see probes.csv", "mean over the arm's seeds; empty if none has a value"),
        column("threshold", "see probes.csv", "an arm with a worse value ends; empty if there is none"),
        column("action", "", "`continue` or `stop`"),
        column("reason", "", "the rule applied to the numbers, in words"),
    ],
};

/// `timing.csv` of a sweep folder: differs between two executions of the same sweep.
pub const SWEEP_TIMING: Table = Table {
    file: "timing.csv",
    row: "one per run in the order of the plan; rewritten when the sweep ends",
    columns: &[
        RUN_ID,
        SWEEP_ARM,
        SEED,
        column("processes", "", "processes that worked on the run"),
        column("started_at", "UTC", "start of the first one"),
        column("seconds", "s", "wall time spent training, probes excluded"),
        column("images_per_second", "images/s", "training throughput over these seconds"),
        column("peak_memory", "MiB", "largest resident memory of any of the processes"),
        column("device", "", "device of the last process"),
        column("threads", "", "its compute threads"),
        column("cpu", "", "its processor"),
        column("version", "", "its version of the program"),
        column("git", "", "commit of the folder it was started in; `-dirty` if that had changes"),
    ],
};

/// `sweeps/rates.csv` of an output folder: how fast this machine is, for budgets of equal seconds.
pub const RATES: Table = Table {
    file: "sweeps/rates.csv",
    row: "one per model and machine, measured once; take a row away to measure again",
    columns: &[
        column("device", "", "processor, or GPU if the run computes on one"),
        column("threads", "", "compute threads of the run"),
        column("sizes", "", "hash of what the work of a step depends on: data, model, masking, batch"),
        column("seconds_per_step", "s", "mean over 20 training steps"),
    ],
};

/// All tables that sweeps write.
pub const SWEEP_TABLES: [Table; 5] = [PLAN, RUNS, DECISIONS, SWEEP_TIMING, RATES];

/// A number as it is written: nine significant digits, shortest form; `nan` and `inf` in letters.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let rounded: f64 = format!("{value:.8e}").parse().expect("a formatted float parses");
    match rounded.abs() {
        0.0 => "0".into(),
        a if !(1e-5..1e15).contains(&a) => format!("{rounded:e}"),
        _ => format!("{rounded}"),
    }
}

impl MetricsRow {
    /// Cells in the order of [`METRICS`].
    pub fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.step.to_string(), self.epoch.to_string(), self.images.to_string()];
        let numbers = [
            self.learning_rate,
            self.weight_decay,
            self.ema_momentum,
            self.loss,
            self.gradient_norm,
            self.explained_variance,
            self.explained_variance_constant,
            self.explained_variance_position,
            self.target_std,
            self.prediction_std,
            self.context_patches,
            self.target_patches,
            self.target_coverage,
        ];
        cells.extend(numbers.map(number));
        cells.push(self.mask_redraws.to_string());
        cells
    }
}

impl EpochRow {
    /// Cells in the order of [`EPOCHS`].
    pub fn cells(&self) -> Vec<String> {
        vec![self.epoch.to_string(), self.step.to_string(), self.images.to_string(), number(self.loss)]
    }
}

impl ProbeRow {
    /// Cells in the order of [`PROBES`].
    pub fn cells(&self) -> Vec<String> {
        let names = [&self.probe, &self.encoder, &self.labels, &self.metric, &self.unit];
        let mut cells = vec![self.epoch.to_string(), self.step.to_string()];
        cells.extend(names.into_iter().cloned());
        cells.push(number(self.value));
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_to_nine_digits() {
        let written = [0.1 + 0.2, 1e-6, 123456.0, -0.0, 1.0 / 3.0, f64::NAN].map(number);
        assert_eq!(written, ["0.3", "1e-6", "123456", "0", "0.333333333", "nan"]);
    }

    #[test]
    fn rows_fill_their_columns() {
        assert_eq!(MetricsRow::default().cells().len(), METRICS.columns.len());
        assert_eq!(EpochRow::default().cells().len(), EPOCHS.columns.len());
    }
}
