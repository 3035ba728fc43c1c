//! `watch` outside a terminal: one page, from the files only.

use super::{folder, succeed};

#[test]
fn a_page_shows_every_run_of_a_sweep_and_ends() {
    let folder = folder("parameters: { masking.targets: [1, 2] }\nseeds: 2\n");
    let none = folder.run(&["watch"]);
    assert!(none.code == 2 && none.stderr.contains("no runs yet"), "{}", none.stderr);
    succeed(&folder.run(&["s.yaml", "-q"]));
    let before = folder.run(&["verify", "results"]);
    let page = folder.run(&["watch", "s"]);
    succeed(&page);
    assert!(page.stdout.starts_with("results/sweeps/s-"), "{}", page.stdout);
    assert!(page.stdout.contains("4 runs: 4 done  [####################] 100 %"), "{}", page.stdout);
    assert_eq!(page.stdout.matches("12/12").count(), 4, "{}", page.stdout);
    assert!(page.stdout.contains("masking.targets=2, seed 1"), "{}", page.stdout);
    assert!(page.stdout.contains("% knn/class/top1"), "{}", page.stdout);
    assert!(!page.stdout.contains('\u{1b}'), "no escapes outside a terminal");
    assert_eq!(folder.run(&["verify", "results"]).stdout, before.stdout, "nothing was touched");
    // All runs, and one of them with the course of its loss.
    let all = folder.run(&["watch"]);
    assert!(all.stdout.contains("4 runs: 4 done"), "{}", all.stdout);
    let run = all.stdout.split_whitespace().find(|word| word.starts_with("tiny-s0-")).unwrap();
    let one = folder.run(&["watch", run]);
    assert!(one.stdout.contains("1 run: 1 done") && one.stdout.contains("\n  loss "), "{}", one.stdout);
    let wrong = folder.run(&["watch", "nothing"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("there is no run `nothing`"), "{}", wrong.stderr);
}

#[test]
fn a_run_under_way_is_shown_with_its_steps() {
    let folder = folder("parameters: { masking.targets: [1, 2] }\n");
    let child = folder.start(&["tiny.yaml", "train.epochs=3000", "name=long"]);
    let rows = || {
        let found = glob(folder.path());
        found.is_some_and(|text| text.lines().count() > 40)
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !rows() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let page = folder.run(&["watch"]);
    drop(child);
    assert!(page.stdout.contains("1 run: 1 running") && page.stdout.contains("/12000"), "{}", page.stdout);
    let line = page.stdout.lines().find(|l| l.contains("long-s0")).unwrap();
    let steps: u64 = line.split_whitespace().find_map(|w| w.strip_suffix("/12000")?.parse().ok()).unwrap();
    assert!(steps > 0, "{}", page.stdout);
    let after = folder.run(&["watch"]);
    assert!(after.stdout.contains("1 interrupted"), "{}", after.stdout);
}

/// The text of the only `metrics.csv` there is.
fn glob(root: &std::path::Path) -> Option<String> {
    let runs = std::fs::read_dir(root.join("results")).ok()?.flatten();
    runs.filter_map(|run| std::fs::read_to_string(run.path().join("metrics.csv")).ok()).next()
}
