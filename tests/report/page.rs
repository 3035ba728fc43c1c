//! What a page is made of.

use std::collections::HashSet;

use roxmltree::{Document, Node};

use crate::lab::{Lab, SWEEP, files};

/// The page as XML: HTML but for the tags that have no end.
pub fn as_xml(html: &str) -> String {
    let mut xml = html.replace("<!DOCTYPE html>", "").replace("<wbr>", "<wbr/>");
    let mut from = 0;
    while let Some(at) = xml[from..].find("<meta ").map(|at| from + at) {
        let end = at + xml[at..].find('>').unwrap();
        xml.insert(end, '/');
        from = end;
    }
    xml
}

pub fn report(lab: &Lab) -> String {
    let found = lab.run(&["report", "grid"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert_eq!(found.stdout.trim(), format!("{SWEEP}/report.html"));
    as_xml(&lab.read(found.stdout.trim()))
}

fn named<'a>(document: &'a Document, tag: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |n| n.tag_name().name() == tag)
}

fn text(node: Node) -> String {
    node.descendants().filter(Node::is_text).filter_map(|n| n.text()).collect()
}

#[test]
fn the_verdict_and_the_question_come_first() {
    let xml = report(&Lab::new());
    let document = Document::parse(&xml).unwrap();
    let paragraphs: Vec<String> = named(&document, "p").take(2).map(text).collect();
    assert!(
        paragraphs[0].starts_with("No arm is shown to differ from masking.targets=1,ema.start=0.9.")
            || paragraphs[0].starts_with("Compared with masking.targets=1,ema.start=0.9: better"),
        "{}",
        paragraphs[0]
    );
    assert_eq!(paragraphs[1], "Question: how many targets, and how slow a teacher & why <so>?");
}

#[test]
fn the_structure_is_as_described() {
    let lab = Lab::new();
    let xml = report(&lab);
    let document = Document::parse(&xml).unwrap();
    let heads: Vec<String> = named(&document, "h2").map(text).collect();
    assert_eq!(heads, ["Results", "Training", "What equal seeds saved", "Masks", "Notes", "Runs", "Terms"]);
    let figures: Vec<&str> = named(&document, "figure").filter_map(|n| n.attribute("id")).collect();
    let expected = [
        "forest",
        "response-masking-targets",
        "response-ema-start",
        "heat-map",
        "curves-metric",
        "curves-loss",
        "mask-visibility",
        "mask-examples",
    ];
    assert_eq!(figures, expected);
    let mut names: Vec<String> = expected.iter().map(|name| format!("{name}.svg")).collect();
    names.sort();
    assert_eq!(files(&lab.path(&format!("{SWEEP}/figures"))), names);
    let tables: Vec<&str> = named(&document, "table").filter_map(|n| n.attribute("id")).collect();
    assert_eq!(tables, ["table-comparisons", "table-arms", "table-variance"]);
    assert_eq!(named(&document, "tbody").filter(|n| n.attribute("id").is_some()).count(), 18, "one per run");
    let done = named(&document, "span").find(|n| n.attribute("data-count") == Some("done")).map(text);
    assert_eq!(done.as_deref(), Some("18"));
    assert!(xml.contains("ijepa-run results/sweeps/grid-0123456789ab/configs/17.yaml --output again"));
}

#[test]
fn figures_are_xml_with_a_title_and_a_description() {
    let lab = Lab::new();
    report(&lab);
    for name in files(&lab.path(&format!("{SWEEP}/figures"))) {
        let svg = lab.read(&format!("{SWEEP}/figures/{name}"));
        let document = Document::parse(&svg).unwrap_or_else(|e| panic!("{name}: {e}"));
        let root = document.root_element();
        assert_eq!((root.tag_name().name(), root.attribute("role")), ("svg", Some("img")), "{name}");
        assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"), "{name}");
        for tag in ["title", "desc"] {
            let node = root.children().find(|n| n.tag_name().name() == tag).unwrap();
            assert!(!text(node).trim().is_empty(), "{name}: {tag}");
            assert!(root.attribute("aria-labelledby").unwrap().contains(node.attribute("id").unwrap()));
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        assert!(svg.contains("prefers-color-scheme: dark"), "{name}");
    }
}

#[test]
fn nothing_is_fetched_and_no_script_runs() {
    let xml = report(&Lab::new());
    let own = xml.replace("http://www.w3.org/2000/svg", "");
    for word in
        ["<script", "javascript:", "http:", "https:", "<link", "@import", "src=", " onload", "<iframe"]
    {
        assert!(!own.contains(word), "{word}");
    }
    let foreign = own.match_indices("url(").filter(|(at, _)| !own[*at..].starts_with("url(#")).count();
    assert_eq!(foreign, 0, "url() of something outside");
}

#[test]
fn every_link_has_its_anchor_and_every_anchor_is_one() {
    let xml = report(&Lab::new());
    let document = Document::parse(&xml).unwrap();
    let ids: Vec<&str> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    let known: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), known.len(), "an id is there twice");
    let links: Vec<&str> = named(&document, "a").filter_map(|n| n.attribute("href")).collect();
    assert!(links.len() > 100, "{}", links.len());
    for link in links {
        assert!(link.strip_prefix('#').is_some_and(|id| known.contains(id)), "{link}");
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let lab = Lab::new();
    let first = report(&lab);
    assert_eq!(first, report(&lab));
    let elsewhere = lab.run(&["report", SWEEP, "--output", "page/index.html", "--no-images"]);
    assert_eq!(elsewhere.code, 0, "{}", elsewhere.stderr);
    assert!(lab.read("page/figures/forest.svg").contains("href=\"../index.html#arm-1\""));
    assert!(!lab.read("page/index.html").contains("data:image/png"));
    assert!(first.contains("data:image/png;base64,"));
}
