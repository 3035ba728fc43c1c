//! Scripts as texts: Slurm, GNU parallel, a plain shell.

use std::{collections::BTreeSet, fmt::Write};

use super::{EngineSweep, minutes, ranges};
use crate::run::launcher::tool::quoted;

/// Seconds before its time limit at which Slurm warns a task.
const WARNING: u64 = 90;

/// A command line as a shell reads it.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The script of a Slurm array. Its first argument is added to the number of a task. `exec` puts the program into the
/// place of the shell: signals reach it, and nothing goes on when Slurm kills the script.
pub fn slurm(sweep: &EngineSweep) -> String {
    let mut text = String::from("#!/bin/bash\n");
    let mut option = |name: &str, value: String| {
        let value = if value.contains(' ') { format!("\"{value}\"") } else { value };
        let _ = writeln!(text, "#SBATCH --{name}={value}");
    };
    option("job-name", sweep.name.clone());
    option("output", sweep.engine_folder().join("slurm-%A_%a.out").to_string_lossy().into_owned());
    option("open-mode", "append".into());
    option("signal", format!("B:USR1@{WARNING}"));
    option("cpus-per-task", sweep.cpus().to_string());
    if let Some(limit) = sweep.settings.time_limit {
        option("time", minutes(limit).to_string());
    }
    if sweep.gpus() > 0 {
        option("gres", format!("gpu:{}", sweep.gpus()));
    }
    text.push_str("#SBATCH --requeue\n");
    sweep.settings.options.iter().for_each(|option| text += &format!("#SBATCH {option}\n"));
    setup(sweep, &mut text);
    let _ = writeln!(text, "exec {} --requeue --offset \"${{1:-0}}\"", line(&sweep.command()));
    text
}

fn setup(sweep: &EngineSweep, text: &mut String) {
    sweep.settings.setup.iter().for_each(|line| *text += &format!("{line}\n"));
}

/// What to type to submit the tasks to Slurm by hand.
pub fn slurm_command(sweep: &EngineSweep, tasks: &BTreeSet<usize>, script: &str) -> String {
    let limit = tasks_at_a_time(sweep).map_or(String::new(), |n| format!("%{n}"));
    format!("sbatch --array={}{limit} {}", ranges(tasks), quoted(script))
}

/// Tasks at a time, where somebody limits the runs.
pub fn tasks_at_a_time(sweep: &EngineSweep) -> Option<usize> {
    sweep.settings.at_a_time.map(|runs| runs.div_ceil(sweep.together()).max(1))
}

/// One line per task, for GNU parallel and everything that reads commands from a file.
pub fn lines(sweep: &EngineSweep, tasks: &BTreeSet<usize>) -> String {
    let command = line(&sweep.command());
    tasks.iter().map(|task| format!("{command} --index {task}\n")).collect()
}

/// A shell script that carries out one task after the other, or the one whose number is its argument.
pub fn shell(sweep: &EngineSweep, tasks: &BTreeSet<usize>) -> String {
    let mut text =
        String::from("#!/bin/sh\n# All tasks one after the other, or those named: sh tasks.sh 0 3 7\n");
    setup(sweep, &mut text);
    let all: Vec<String> = tasks.iter().map(usize::to_string).collect();
    let _ = writeln!(text, "[ $# -gt 0 ] || set -- {}", all.join(" "));
    text.push_str("worst=0\nfor task do\n");
    let _ = writeln!(text, "  {} --index \"$task\"", line(&sweep.command()));
    text.push_str("  code=$?\n  [ $code -eq 0 ] || worst=$code\n");
    text.push_str("  [ $code -ne 75 ] || exit 75  # asked to stop\n");
    text.push_str("done\nexit $worst\n");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tests::sweep, *};

    #[test]
    fn a_slurm_script_asks_for_what_a_task_needs_and_gives_its_place_to_the_program() {
        let mut sweep = sweep(10, 2);
        sweep.gpu = true;
        sweep.settings.time_limit = Some(Duration::from_secs(3601));
        sweep.settings.options = vec!["--partition=gpu".into()];
        sweep.settings.setup = vec!["module load cuda".into()];
        let text = slurm(&sweep);
        for line in [
            "#SBATCH --output=/shared/results/sweeps/tiny-1/engine/slurm-%A_%a.out",
            "#SBATCH --open-mode=append",
            "#SBATCH --signal=B:USR1@90",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --time=61",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --requeue",
            "#SBATCH --partition=gpu",
            "module load cuda",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        let last = text.lines().last().unwrap();
        assert!(
            last.starts_with("exec /shared/bin/ijepa-run exec ") && last.ends_with("--offset \"${1:-0}\"")
        );
        sweep.settings.at_a_time = Some(3);
        let command = slurm_command(&sweep, &[0, 1, 4].into(), "a b.sh");
        assert_eq!(command, "sbatch --array=0-1,4%3 'a b.sh'");
    }

    #[test]
    fn lines_name_each_task() {
        let text = lines(&sweep(4, 2), &[0, 1].into());
        let command =
            "/shared/bin/ijepa-run exec /shared/results/sweeps/tiny-1 --count 2 --threads 2 --index";
        assert_eq!(text, format!("{command} 0\n{command} 1\n"));
    }
}
