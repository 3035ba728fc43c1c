//! Every registered component keeps the promises of its kind.

use ijepa_run as _;

/// Fewest entries per kind: raise a number with every component that is added, so that one that
/// drops out of the program (a lost `mod` line) is noticed.
const FEWEST: [(&str, usize); 9] = [
    ("encoder", 1),
    ("predictor", 1),
    ("masking", 5),
    ("schedule", 4),
    ("loss", 3),
    ("optimizer", 1),
    ("dataset", 3),
    ("augmentation", 3),
    ("probe", 3),
];

#[test]
fn every_component_keeps_its_promises() {
    let laws = ijepa_run::registry::laws::check_all();
    laws.failures.iter().for_each(|failure| eprintln!("{failure}"));
    assert!(laws.failures.is_empty(), "{} laws are broken, see above", laws.failures.len());
    for (kind, fewest) in FEWEST {
        let found = laws.checked.get(kind).copied().unwrap_or(0);
        assert!(found >= fewest, "{found} components of kind {kind}, at least {fewest} are expected");
    }
    assert_eq!(laws.checked.len(), FEWEST.len(), "kinds: {:?}", laws.checked.keys());
}
