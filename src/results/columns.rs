//! Every table and its columns: name, unit, meaning. A table whose rows are one struct takes its columns
//! from that (`row!`); `results/README.md` lists them all.

use ijepa_registry::metric::Direction;

use super::RunState;
use crate::events::{Cell, meaning, row};
pub use crate::events::{Column, EpochRow, MetricsRow, PredictionRow, ProbeRow, Row, number};

/// A CSV file of a run folder, a comparison or a sweep folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// File name in the folder.
    pub file: &'static str,
    /// What a row is.
    pub row: &'static str,
    /// Columns in order.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, unit, meaning, direction: Direction::Neither }
}

/// `metrics.csv`.
pub const METRICS: Table =
    Table { file: "metrics.csv", row: "one every `train.log_every` steps", columns: MetricsRow::COLUMNS };

/// `epochs.csv`.
pub const EPOCHS: Table = Table { file: "epochs.csv", row: "one per epoch", columns: EpochRow::COLUMNS };

/// `probes.csv`.
pub const PROBES: Table =
    Table { file: "probes.csv", row: "one per measured value (tidy form)", columns: ProbeRow::COLUMNS };

row! {
    /// One row of `timing.csv`.
    #[derive(Clone, Copy, Debug, PartialEq)]
    TimingRow {
        epoch: u64, "epochs", meaning!(epoch);
        step: u64, "steps", meaning!(step);
        seconds: f64, "s", "wall time spent training since the last row, probes excluded";
        images_per_second: f64, "images/s", meaning!(images_per_second), good Higher;
        peak_memory: Option<f64>, "MiB",
            "largest resident memory of the process so far; empty where unknown";
    }
}

/// `timing.csv`: the only table whose numbers differ between two runs of the same file.
pub const TIMING: Table =
    Table { file: "timing.csv", row: "one per epoch and process", columns: TimingRow::COLUMNS };

/// What a probe says of every image, in a file of its own per encoder, labels, split and epoch.
pub const PREDICTIONS: Table = Table {
    file: "probes/*.predictions.csv",
    row: "one per image, of a probe with `predictions: true`",
    columns: PredictionRow::COLUMNS,
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
            "runs without a value that did not break down: failed, unfinished, unreadable or not measured",
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
        column(
            "ci_lo",
            "metric",
            "lower end of the 95 % t interval of the mean; empty where runs broke down, since survivors are no sample",
        ),
        column("ci_hi", "metric", "upper end of the 95 % t interval of the mean"),
        column("min", "metric", "smallest value"),
        column("max", "metric", "largest value"),
        column(
            "test_stderr",
            "metric",
            "binomial standard error of the mean accuracy from sampling the test images; in no interval, for all arms share them",
        ),
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
        column("role", "", "`primary`, or `exploratory` if the runs were planned for another metric"),
        column("goal", "", "`higher`, `lower` or `neither`: which direction is better"),
        column("design", "", "`paired` (by seed) or `unpaired`"),
        column(
            "n_pairs",
            "pairs",
            "seeds with an outcome in both arms, a breakdown counts as one; empty if unpaired",
        ),
        column("n_baseline", "runs", "runs of the baseline that are judged"),
        column("n_arm", "runs", "runs of the arm that are judged"),
        column("diff", "metric", "mean of the arm minus mean of the baseline; empty where runs broke down"),
        column(
            "diff_ci_lo",
            "metric",
            "lower end of the simultaneous 95 % interval of the difference (Bonferroni-t over all comparisons)",
        ),
        column(
            "diff_ci_hi",
            "metric",
            "upper end of it; empty where there is no t test or no verdict for want of runs",
        ),
        column("rel_diff_pct", "%", "difference in percent of the baseline's mean"),
        column(
            "test",
            "",
            "`paired_t` or `welch_t`; `signed_rank` or `rank_sum` (exact) where runs broke down or no value varies",
        ),
        column("p", "1", "two-sided p-value of the test"),
        column("p_holm", "1", "p-value adjusted for the number of arms (Holm)"),
        column(
            "p_exact",
            "1",
            "two-sided p-value of an exact test: that of `test`, or sign flips of up to 12 pairs",
        ),
        column(
            "p_equivalence",
            "1",
            "p-value of differing by the margin or more (TOST), adjusted for the number of arms",
        ),
        column(
            "p_improve",
            "1",
            "probability that a run of the arm is better: share of pairs, or U / (n m); a broken run is worst",
        ),
        column("effect_size", "1", "Cohen's d_z if paired, Hedges' g if not; sign of `diff`"),
        column(
            "detectable_diff",
            "metric",
            "smallest true difference that as many runs find with 80 % power",
        ),
        column(
            "verdict",
            "",
            "`better`, `worse`, `equivalent`, `inconclusive`, `underpowered` or `no verdict`",
        ),
        column(
            "remark",
            "",
            "`unstable: 6 of 8 broke`, `incomplete: 2 of 8 failed, run them again`, or empty",
        ),
        column("reason", "", "the verdict in a sentence"),
    ],
};

/// Tables of a comparison.
pub const COMPARISON_TABLES: [Table; 2] = [ARMS, COMPARISONS];

row! {
    /// One row of `plan.csv`.
    #[derive(Clone, Debug, PartialEq)]
    PlanRow {
        index: u64, "", "position in the plan, from 0: `configs/INDEX.yaml` and `logs/INDEX.log`";
        run_id: String, "", meaning!(run_id);
        arm: String, "", meaning!(arm);
        seed: u64, "", meaning!(seed);
        changed: String, "", "settings the arm changes in the base experiment";
        epochs: u64, "epochs", "length of the run";
        steps: Option<u64>, "steps", "optimizer steps; empty if that depends on data not loaded yet";
        parameters: Option<u64>, "values", "values that the optimizer updates";
        tokens: Option<f64>, "tokens", "context tokens, and target tokens of every context, of all steps";
        gflop: Option<f64>, "GFLOP",
            "useful operations of the matrix products of all steps; empty for components of unknown sizes";
        memory: Option<f64>, "MiB",
            "estimate of the process's resident memory on a processor while it trains; probes may take more";
    }
}

/// `plan.csv` of a sweep folder.
pub const PLAN: Table = Table {
    file: "plan.csv",
    row: "one per run, written before the first run starts",
    columns: PlanRow::COLUMNS,
};

row! {
    /// What every row of `runs.csv` starts with.
    #[derive(Clone, Debug, PartialEq)]
    RunsRow {
        run_id: String, "", meaning!(run_id);
        arm: String, "", meaning!(arm);
        seed: u64, "", meaning!(seed);
        status: RunState, "",
            "`pending`, `running`, `stopped`, `interrupted`, `done`, `diverged`, `collapsed`, `failed` or `unreadable`";
        reason: String, "", "why it ended as it did; empty for `done`";
        steps: Option<u64>, "steps", "optimizer steps done at the last checkpoint, or at the end";
    }
}

/// Columns of `runs.csv` of which there can be any number.
const VARIABLE: [Column; 4] = [
    column(
        "param.<path>",
        "",
        "value of a setting that the sweep varies, by its name if it has one; empty if the run has no such setting",
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
];

/// `runs.csv` of a sweep folder. Names in angle brackets stand for any number of columns.
pub const RUNS: Table = Table {
    file: "runs.csv",
    row: "one per run in the order of the plan; rewritten whenever a run ends",
    columns: &joined::<{ RunsRow::COLUMNS.len() + VARIABLE.len() }>(RunsRow::COLUMNS, &VARIABLE),
};

/// Two lists of columns as one.
const fn joined<const N: usize>(first: &[Column], second: &[Column]) -> [Column; N] {
    let mut all = [first[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < first.len() { first[i] } else { second[i - first.len()] };
        i += 1;
    }
    all
}

row! {
    /// One row of `decisions.csv`.
    #[derive(Clone, Debug, PartialEq)]
    DecisionRow {
        epoch: u64, "epochs", "epoch after which it was decided";
        rule: String, "", "`successive_halving` or `median`";
        metric: String, "", "what the arms are judged by";
        arm: String, "", meaning!(arm);
        value: Option<f64>, "see probes.csv", "mean over the arm's seeds; empty if none has a value";
        threshold: Option<f64>, "see probes.csv",
            "an arm with a worse value ends; empty if there is none";
        action: Action, "", "`continue` or `stop`";
        reason: String, "", "the rule applied to the numbers, in words";
    }
}

/// What early termination decided about an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// It ends.
    Stop,
}

impl Cell for Action {
    const WANTED: &'static str = "`continue` or `stop`";
    fn text(&self) -> String {
        if *self == Action::Stop { "stop".into() } else { "continue".into() }
    }
    fn read(text: &str) -> Option<Self> {
        [Action::Continue, Action::Stop].into_iter().find(|action| action.text() == text)
    }
    fn as_number(&self) -> Option<f64> {
        None
    }
}

/// `decisions.csv` of a sweep folder.
pub const DECISIONS: Table = Table {
    file: "decisions.csv",
    row: "one per arm and rung of early termination",
    columns: DecisionRow::COLUMNS,
};

row! {
    /// One row of a sweep's `timing.csv`.
    #[derive(Clone, Debug, PartialEq)]
    SweepTimingRow {
        run_id: String, "", meaning!(run_id);
        arm: String, "", meaning!(arm);
        seed: u64, "", meaning!(seed);
        processes: u64, "", "processes that worked on the run";
        started_at: String, "UTC", "start of the first one";
        seconds: Option<f64>, "s", "wall time spent training, probes excluded";
        images_per_second: Option<f64>, "images/s", meaning!(images_per_second);
        peak_memory: Option<f64>, "MiB", "largest resident memory of any of the processes";
        device: String, "", "device of the last process";
        threads: String, "", "its compute threads";
        cpu: String, "", "its processor";
        version: String, "", "its version of the program";
        git: String, "", "commit of the folder it was started in; `-dirty` if that had changes";
    }
}

/// `timing.csv` of a sweep folder: differs between two executions of the same sweep.
pub const SWEEP_TIMING: Table = Table {
    file: "timing.csv",
    row: "one per run in the order of the plan; rewritten when the sweep ends",
    columns: SweepTimingRow::COLUMNS,
};

row! {
    /// One row of `sweeps/rates.csv`.
    #[derive(Clone, Debug, PartialEq)]
    RateRow {
        device: String, "", "processor, or GPU if the run computes on one";
        threads: u64, "", "compute threads of the run";
        sizes: String, "", "hash of what the work of a step depends on: data, model, masking, batch";
        seconds_per_step: f64, "s", "mean over 20 training steps";
    }
}

/// `sweeps/rates.csv` of an output folder: how fast this machine is, for budgets of equal seconds.
pub const RATES: Table = Table {
    file: "sweeps/rates.csv",
    row: "one per model and machine, measured once; take a row away to measure again",
    columns: RateRow::COLUMNS,
};

/// All tables that sweeps write.
pub const SWEEP_TABLES: [Table; 5] = [PLAN, RUNS, DECISIONS, SWEEP_TIMING, RATES];

/// The header of a table: its columns, then those that an experiment decided on.
pub fn names<R: Row>(further: &[String]) -> Vec<String> {
    R::COLUMNS.iter().map(|c| c.name.to_owned()).chain(further.iter().cloned()).collect()
}
