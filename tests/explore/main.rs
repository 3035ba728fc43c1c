//! The page of `ijepa-run explore`: of a tiny run, of two, and what is refused.

mod attention;

#[allow(dead_code)]
#[path = "../runner/program.rs"]
mod program;

use std::{fs, path::PathBuf};

use program::{Folder, Output};

/// Sections of every page.
const SECTIONS: [&str; 8] =
    ["training", "map", "neighbours", "classes", "patches", "masks", "teacher", "terms"];

/// A folder with two finished runs, `one` and `two`, on the same images.
fn with_runs() -> Folder {
    let folder = Folder::new();
    for run in [
        vec!["tiny.yaml", "name=one", "-q"],
        vec!["tiny.yaml", "name=two", "seed=1", "encoder.depth=3", "-q"],
    ] {
        let Output { code, stderr, .. } = folder.run(&run);
        assert_eq!(code, 0, "{stderr}");
    }
    folder
}

/// The page that these words write, in `page.html`.
fn page(folder: &Folder, words: &[&str]) -> String {
    let Output { code, stdout, stderr } =
        folder.run(&[&["explore"], words, &["--quiet", "--output", "page.html"]].concat());
    assert_eq!((code, stdout.as_str()), (0, "page.html\n"), "{stderr}");
    fs::read_to_string(folder.path().join("page.html")).unwrap()
}

/// The one folder in `results` whose name starts like this.
fn run_folder(folder: &Folder, start: &str) -> PathBuf {
    let entries = fs::read_dir(folder.path().join("results")).unwrap().map(|e| e.unwrap().path());
    let mut found = entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(start));
    found.next().unwrap_or_else(|| panic!("no run {start}"))
}

/// What holds of every page: nothing from elsewhere, figures that are XML, named and described.
fn check_page(html: &str) {
    let elsewhere = ["<script", "<link", "src=", "url(http", "@import", "<iframe"];
    let found: Vec<&&str> = elsewhere.iter().filter(|word| html.contains(**word)).collect();
    assert!(found.is_empty(), "{found:?}");
    for href in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(href.starts_with('#') || href.starts_with("data:image/png;base64,"), "{href}");
        if let Some(id) = href.strip_prefix('#') {
            assert!(html.contains(&format!("id=\"{id}\"")), "nothing is called {id}");
        }
    }
    let figures: Vec<&str> =
        html.split("<svg").skip(1).map(|rest| rest.split("</svg>").next().unwrap()).collect();
    assert!(figures.len() >= 8, "{} figures", figures.len());
    for figure in figures {
        let text = format!("<svg{figure}</svg>");
        let svg = roxmltree::Document::parse(&text)
            .unwrap_or_else(|e| panic!("{e}\n{}", &text[..200.min(text.len())]));
        let words = |tag: &str| {
            let found =
                svg.root_element().children().find(|n| n.has_tag_name(("http://www.w3.org/2000/svg", tag)));
            found.and_then(|n| n.text().map(str::to_owned)).unwrap_or_default()
        };
        assert!(
            words("title").len() > 3 && words("desc").len() > 10,
            "{} | {}",
            words("title"),
            words("desc")
        );
        assert!(!text.contains("NaN") && !text.contains("inf\""), "{}", words("title"));
    }
    let mut ids: Vec<&str> =
        html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id is given twice");
}

#[test]
fn the_page_of_a_run_has_every_section_and_the_same_bytes_for_any_number_of_threads() {
    let folder = with_runs();
    let html = page(&folder, &["one", "--threads", "1"]);
    check_page(&html);
    for section in SECTIONS {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
    // 20 test images with six labellings, each coloured by t-SNE and PCA.
    let labels = ["class", "colour", "count", "position", "size", "background"];
    for label in labels {
        assert!(html.contains(&format!("Features by {label}")), "{label}");
    }
    assert!(html.contains("precision@20") && html.contains("silhouette") && html.contains("EMA momentum"));
    assert!(html.contains("blocks.1") && html.contains("Patches of images"));
    assert_eq!(html, page(&folder, &["one", "--threads", "2"]));
    // No file of the run is touched but the page.
    assert_eq!(folder.run(&["verify", run_folder(&folder, "one").to_str().unwrap()]).code, 0);
}

#[test]
fn two_runs_are_compared() {
    let folder = with_runs();
    let html = page(&folder, &["one", "two"]);
    check_page(&html);
    assert!(html.contains("<section id=\"comparison\">") && html.contains("Linear CKA"));
    assert!(html.contains("Images whose neighbours differ most"));
    // A run and itself: everything in common.
    let same = page(&folder, &["one", "one"]);
    assert!(same.contains("The last blocks have CKA 1.000."), "CKA of a run with itself");
    assert!(same.contains("neighbours of an image, 100.0 % are the same"), "neighbours of a run with itself");
}

#[test]
fn a_model_of_timm_and_weights_of_an_earlier_epoch_stand_beside_a_run() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "name=one", "train.keep_every=1", "-q"]).code, 0);
    assert_eq!(folder.run(&["export", "timm", "one", "--output", "timm", "-q"]).code, 0);
    let html = page(&folder, &["one", "timm"]);
    check_page(&html);
    assert!(
        html.contains("The last blocks have CKA 1.000"),
        "the same encoder but for the epsilon of its norms"
    );
    let html = page(&folder, &["one@1", "one"]);
    check_page(&html);
    assert!(html.contains("of epoch 1; curves are of the whole run"));
    for (words, why) in [
        (&["timm"][..], "name a run in front of it"),
        (&["one@7"], "the weights of epoch 7 are not there: kept are those of epochs 1, 2"),
    ] {
        let Output { code, stderr, .. } = folder.run(&[&["explore"], words].concat());
        assert!(code == 2 && stderr.contains(why), "{code} {stderr}");
    }
}

#[test]
fn the_page_stands_in_the_run_folder_and_a_stopped_run_has_one() {
    let folder = Folder::new();
    let Output { code, stderr, .. } = folder.run(&["tiny.yaml", "--until-epoch", "1", "-q"]);
    assert_eq!(code, 75, "{stderr}");
    let Output { code, stdout, stderr } = folder.run(&["explore", "tiny", "-q"]);
    assert_eq!(code, 0, "{stderr}");
    let written = folder.path().join(stdout.trim());
    assert!(
        written.ends_with("explore.html")
            && written.parent().unwrap().ends_with(folder.run_folder().file_name().unwrap())
    );
    assert!(fs::read_to_string(written).unwrap().contains("stopped, step 4 of 12"));
    assert_eq!(folder.run(&["tiny.yaml", "-q"]).code, 0, "the run goes on beside its page");
}

#[test]
fn predictions_of_a_probe_are_drawn_as_its_confusion() {
    let folder = with_runs();
    let probes = run_folder(&folder, "one").join("probes");
    fs::create_dir_all(&probes).unwrap();
    let rows = "image,label,prediction\n0,ring,ring\n1,ring,bar\n2,bar,bar\n";
    fs::write(probes.join("linear-target-class-test-epoch3.predictions.csv"), rows).unwrap();
    let html = page(&folder, &["one"]);
    check_page(&html);
    assert!(
        html.contains("Confusion of linear-target-class-test")
            && html.contains("Of 3 images, 2 are named rightly.")
    );
    fs::write(probes.join("linear-target-class-test-epoch4.predictions.csv"), "image,label,prediction\n0\n")
        .unwrap();
    let Output { code, stderr, .. } = folder.run(&["explore", "one", "-q"]);
    assert!(code != 0 && stderr.contains("epoch4.predictions.csv:2"), "{code} {stderr}");
}

#[test]
fn what_cannot_be_shown_is_refused_with_what_to_do() {
    let folder = with_runs();
    let refused = |words: &[&str], part: &str| {
        let Output { code, stderr, .. } = folder.run(&[&["explore"], words].concat());
        assert!(code == 2 && stderr.contains(part), "{words:?}: {code}\n{stderr}");
    };
    refused(&["nothing"], "nothing");
    refused(&["one", "two", "one"], "no more were expected");
    refused(&["one", "--images", "3"], "10..=50000");
    let other = ["tiny.yaml", "name=other", "dataset.seed=5", "-q"];
    assert_eq!(folder.run(&other).code, 0);
    let Output { code, stderr, .. } = folder.run(&["explore", "one", "other", "-q"]);
    assert!(code == 2 && stderr.contains("explore them one at a time"), "{code} {stderr}");
    let damaged = run_folder(&folder, "two").join("weights.safetensors");
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let Output { code, stderr, .. } = folder.run(&["explore", "two", "-q"]);
    assert!(code != 0 && stderr.contains("weights.safetensors"), "{code} {stderr}");
}

/// The command is in the help and in the completions.
#[test]
fn it_is_listed_and_completed() {
    let folder = Folder::new();
    assert!(folder.run(&["--help"]).stdout.contains("explore"));
    assert!(folder.run(&["completions", "bash"]).stdout.contains("explore"));
}
