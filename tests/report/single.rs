//! The report of one run.

use roxmltree::Document;

use crate::{
    lab::{Lab, files, runs},
    page::as_xml,
};

#[test]
fn a_run_has_a_page_of_its_own() {
    let lab = Lab::new();
    let id = runs()[0].id();
    let folder = format!("results/{id}");
    for wanted in [folder.as_str(), id.as_str()] {
        let found = lab.run(&["report", wanted]);
        assert_eq!(found.code, 0, "{}", found.stderr);
        assert_eq!(found.stdout.trim(), format!("{folder}/report.html"));
    }
    let xml = as_xml(&lab.read(&format!("{folder}/report.html")));
    let document = Document::parse(&xml).unwrap();
    let ids: Vec<&str> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    for id in ["curve-loss", "curve-knn-target-class-top1", "table-results", "mask-visibility", "settings"] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    assert_eq!(ids.len(), ids.iter().collect::<std::collections::HashSet<_>>().len(), "an id is there twice");
    assert!(xml.contains("The run is done, step 12 of 12."), "{xml}");
    let drawn = files(&lab.path(&format!("{folder}/figures")));
    assert!(drawn.contains(&"curve-loss.svg".to_owned()), "{drawn:?}");
    assert!(!xml.contains("NaN") && !xml.contains("<script"));
    // The run is what it was.
    let again = lab.run(&["compare", "grid"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn a_run_has_nothing_to_compare() {
    let lab = Lab::new();
    let id = runs()[0].id();
    let found = lab.run(&["report", &id, "--baseline", "x"]);
    assert!(found.code == 2 && found.stderr.contains("leave out --baseline"), "{}", found.stderr);
}
