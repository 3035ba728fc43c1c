//! Tables of other programs as they come: separators, states, seeds, charts, one file per run.

use crate::lab::Lab;

fn told(lab: &Lab, args: &[&str]) -> String {
    let found = lab.compare(args);
    assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    found.stdout
}

fn refused(lab: &Lab, args: &[&str], sentence: &str) {
    let found = lab.compare(args);
    assert!(found.code == 2 && found.stderr.contains(sentence), "{}{}", found.stdout, found.stderr);
}

const MAP: [&str; 4] = ["--map", "metric=acc", "seed=seed", "group=arm"];

fn of_file(text: &str, more: &[&str]) -> (Lab, Vec<String>) {
    let lab = Lab::new();
    lab.write("runs.csv", text);
    let args = [&["runs.csv"], &MAP[..], more].concat().iter().map(|a| a.to_string()).collect();
    (lab, args)
}

fn told_of(text: &str, more: &[&str]) -> String {
    let (lab, args) = of_file(text, more);
    told(&lab, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn semicolons_tabs_and_decimal_commas_are_read() {
    let text = "arm;seed;acc\na;0;70,3\na;1;71,3\nb;0;71,3\nb;1;71,9\n";
    let found = told_of(text, &[]);
    assert!(found.contains("70.80") && found.contains("2 pairs"), "{found}");
    assert!(found.contains("semicolons separate its cells"), "{found}");
    assert!(told_of(&text.replace(';', "\t"), &[]).contains("70.80"));
    // A comma between cells is no decimal comma, and thousands are no decimals.
    assert!(told_of("arm,seed,acc\na,0,70.3\na,1,71.3\n", &[]).contains("70.80"));
    let (lab, args) = of_file("arm;seed;acc\na;0;1.234,5\n", &[]);
    refused(&lab, &args.iter().map(String::as_str).collect::<Vec<_>>(), "`1.234,5` is not a number");
}

#[test]
fn a_column_that_is_there_twice_is_refused() {
    let (lab, args) = of_file("arm,seed,acc,acc\na,0,1,2\n", &[]);
    let sentence = "runs.csv:1: column `acc` is there twice: columns 3 and 4";
    refused(&lab, &args.iter().map(String::as_str).collect::<Vec<_>>(), sentence);
    // One that nobody asks for may be.
    assert!(told_of("arm,seed,acc,x,x\na,0,1,2,3\n", &[]).contains("1.000"));
}

#[test]
fn seeds_are_numbers_in_any_spelling() {
    let found = told_of("arm,seed,acc\na,0,70\na,1,71\na,2,73\nb,0.0,71\nb,1.0,72\nb,2.0,75\n", &[]);
    assert!(found.contains("3 pairs"), "{found}");
}

#[test]
fn a_file_that_is_named_twice_is_one_run() {
    let lab = Lab::new();
    lab.write("run.csv", "Step,Value\n1,0.5\n2,0.6\n");
    let found = told(&lab, &["run.csv", "./run.csv", "--map", "metric=Value", "step=Step"]);
    assert!(found.contains("run.csv is named twice: read once") && found.contains("one arm only"), "{found}");
}

#[test]
fn crashed_runs_have_no_value() {
    let table = "Name,State,arm,seed,acc\n\
                 r1,finished,a,0,70\nr2,finished,a,1,71\nr3,finished,a,2,72\nr4,crashed,a,3,12\n\
                 r5,finished,b,0,71\nr6,finished,b,1,72\nr7,running,b,2,30\nr8,finished,b,3,74\n";
    let found = told_of(table, &["--goal", "higher"]);
    assert!(found.contains("3/4 (1 failed)") && found.contains("3/4 (1 unfinished)"), "{found}");
    assert!(found.contains("column `State` says how runs ended"), "{found}");
    // Another column of that name is none of ours, unless it is named.
    let odd = table.replace("running", "Bavaria");
    assert!(!told_of(&odd, &["--goal", "higher"]).contains("failed)"));
    let (lab, args) = of_file(&odd, &["state=State"]);
    refused(&lab, &args.iter().map(String::as_str).collect::<Vec<_>>(), "`Bavaria` is no state of a run");
    let broken = told_of(&table.replace("crashed", "diverged"), &["--goal", "higher"]);
    assert!(broken.contains("3/4 (1 diverged)"), "{broken}");
}

#[test]
fn not_a_number_is_no_value() {
    let found = told_of("arm,seed,acc\na,0,70\na,1,nan\na,2,NA\nb,0,71\nb,1,72\nb,2,73\n", &[]);
    assert!(found.contains("1/3 (2 without a value)") && found.contains("1 pairs"), "{found}");
}

#[test]
fn runs_that_end_at_different_steps_are_told() {
    let rows = "arm,seed,step,acc\na,0,100,70\na,0,1000,80\na,1,100,71\nb,0,1000,81\nb,1,1000,82\n";
    let found = told_of(rows, &["step=step"]);
    assert!(
        found
            .contains("a: its runs end at different steps, seed 1 at step 100 and the last one at step 1000"),
        "{found}"
    );
    assert!(!told_of(rows, &["step=step", "--at", "100"]).contains("different steps"));
}

/// TensorBoard downloads one file per run.
#[test]
fn files_of_one_run_each_join_by_their_names() {
    let lab = Lab::new();
    for (arm, level) in [("base", 60.0), ("wide", 63.0)] {
        for seed in 0..3 {
            let value = level + f64::from(seed) + if arm == "wide" { 0.1 * f64::from(seed) } else { 0.0 };
            lab.write(
                &format!("{arm}_seed{seed}.csv"),
                &format!("Wall time,Step,Value\n1.5,10,1\n1.7,20,{value}\n"),
            );
        }
    }
    let files = [
        "base_seed0.csv",
        "base_seed1.csv",
        "base_seed2.csv",
        "wide_seed0.csv",
        "wide_seed1.csv",
        "wide_seed2.csv",
    ];
    let found =
        told(&lab, &[&files[..], &["--map", "metric=Value", "step=Step", "--goal", "higher"]].concat());
    assert!(found.contains("3 pairs") && found.contains("+3.100"), "{found}");
    assert!(
        found.contains("the files of one arm differ in the seed that their names tell (arms: base, wide)"),
        "{found}"
    );
}

/// A chart of W&B has a column per run, and two more for its smoothed ends.
#[test]
fn a_chart_is_a_column_per_run() {
    let lab = Lab::new();
    let runs = ["base-seed0", "base-seed1", "base-seed2", "wide-seed0", "wide-seed1", "wide-seed2"];
    let head: Vec<String> =
        runs.iter().map(|r| format!("{r} - val/acc,{r} - val/acc__MIN,{r} - val/acc__MAX")).collect();
    let row = |step: u32| {
        let cells: Vec<String> = (0..6).map(|i| format!("{0},{0},{0}", 60 + i * 2 + step)).collect();
        format!("{step},{}\n", cells.join(","))
    };
    lab.write("chart.csv", &format!("Step,{}\n{}{}", head.join(","), row(1), row(2)));
    let found = told(&lab, &["chart.csv", "--metric", "val/acc", "--goal", "higher"]);
    assert!(found.contains("3 pairs") && found.contains("+6.000"), "{found}");
    assert!(found.contains("read as a chart, with a column per run"), "{found}");
}

/// Lightning logs sparse rows, and goes back to the checkpoint's step after a resume.
#[test]
fn sparse_rows_and_a_resume_are_understood() {
    let lab = Lab::new();
    lab.write(
        "metrics.csv",
        "epoch,step,train_loss,val_acc\n0,10,2.0,\n0,10,,50\n1,20,1.5,\n1,20,,60\n2,30,1.2,\n2,30,,99\n1,20,1.5,\n1,25,,61\n2,35,,63\n",
    );
    let found = told(&lab, &["metrics.csv", "--map", "metric=val_acc", "step=step"]);
    assert!(
        found.contains("63.00") && found.contains("step 25 follows step 30: read as a resume"),
        "{found}"
    );
    let early = told(&lab, &["metrics.csv", "--map", "metric=val_acc", "step=step", "--at", "25"]);
    assert!(early.contains("61.00"), "{early}");
    // Back to the start is another run.
    lab.write("two.csv", "step,acc\n1,50\n2,60\n1,51\n2,61\n");
    refused(&lab, &["two.csv", "--map", "metric=acc", "step=step"], "say --map seed=COLUMN");
}

#[test]
fn names_act_on_no_terminal_and_on_no_spreadsheet() {
    let lab = Lab::new();
    lab.write("runs.csv", "arm,seed,acc\n\u{1b}[31mred,0,1\n\"a\nforged: better\",0,2\n=cmd,0,3\n");
    let found = told(&lab, &[&["runs.csv"], &MAP[..]].concat());
    assert!(!found.contains('\u{1b}') && found.contains("\\u{1b}[31mred"), "{found}");
    assert!(
        !found.lines().any(|l| l.starts_with("forged")) && found.contains("a\\nforged: better"),
        "{found}"
    );
    let csv = told(&lab, &[&["runs.csv"], &MAP[..], &["--format", "csv"]].concat());
    assert!(csv.contains("'=cmd,") && !csv.contains('\u{1b}'), "{csv}");
}
