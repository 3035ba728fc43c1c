//! Every kind of mistake, with the exact words and the position a user sees.

use super::{BASE, load};

/// The error without the components of the house, which come and go: `there are: ...` keeps the
/// names that these tests register.
fn own_components(error: &str) -> String {
    let own = |line: &str| match line.split_once("there are: ") {
        Some((before, names)) => {
            let own: Vec<&str> = names.split(", ").filter(|n| n.starts_with("test_")).collect();
            format!("{before}there are: {}", own.join(", "))
        }
        None => line.to_owned(),
    };
    error.lines().map(own).collect::<Vec<_>>().join("\n")
}

/// The error of [`BASE`] with `from` replaced by `to`.
fn broken(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    load(&BASE.replace(from, to), &[]).map(|_| ()).expect_err(to)
}

#[test]
fn mistakes_in_a_file() {
    for (from, to, expected) in TABLE {
        assert_eq!(&own_components(&broken(from, to)), expected, "{to}");
    }
}

#[test]
fn mistakes_in_an_override() {
    for (over, expected) in OVERRIDES {
        let error = load(BASE, &[over]).map(|_| ()).expect_err(over);
        assert_eq!(&own_components(&error), expected, "{over}");
    }
}

#[test]
fn all_mistakes_come_at_once_in_order() {
    let text = BASE
        .replace("dim: 16", "dim: 0, dept: 3")
        .replace("loss: test_none\n", "")
        .replace("batch_size: 100", "batch_size: 5000");
    let error = load(&text, &["predictor.dim=x", "nothing"]).map(|_| ()).expect_err("wrong");
    let heads: Vec<&str> = error.lines().filter(|l| !l.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "dir/a.yaml:1:1: loss: this section is missing",
            "dir/a.yaml:5:33: encoder.dim: is 0; allowed: at least 1",
            "dir/a.yaml:5:36: encoder.dept: encoder `test_vit` has no setting `dept`",
            "dir/a.yaml:12:33: train.batch_size: is 5000, more than the 1000 training images",
            "override `nothing`: has no `=`",
            "override `predictor.dim=x`: predictor.dim: is the text `x`; expected a whole number",
        ]
    );
}

#[test]
fn a_component_inside_of_another_is_read_as_one_of_a_section() {
    let nested = "masking={ kind: multi, of: [block, { kind: multiblok }, { kind: random, ratoi: [0.5, 0.5] }, { kind: block, scale: x }, 3] }";
    let error = load(BASE, &[nested]).map(|_| ()).expect_err("wrong");
    let says = |what: &str| assert!(error.contains(what), "{what} is not in:\n{error}");
    says("masking.of.1.kind: there is no masking `multiblok` in this program");
    says("did you mean `multiblock` or");
    says("masking.of.2.ratoi: masking `random` has no setting `ratoi`");
    says("did you mean `ratio`?");
    says("masking.of.3.scale: is the text `x`");
    says("masking.of.4: is 3; expected a mapping");
    let fine = "masking={ kind: ramp, from: block, to: { kind: block, scale: null } }";
    let read = load(BASE, &[fine]).unwrap();
    assert_eq!(read.masking.settings["to"]["aspect"], serde_json::json!([0.75, 1.5]));
    assert_eq!(read.masking.settings["from"]["kind"], "block");
}

/// What is missing because of a misspelled key is not reported beside it, and everything else after it.
#[test]
fn a_misspelled_section_comes_before_those_that_are_missing() {
    let heads = |text: &str| -> Vec<String> {
        let error = load(text, &[]).map(|_| ()).expect_err(text);
        error.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned).collect()
    };
    let none = |key: &str| format!("there is no section `{key}`");
    let extend = "seed: 3\nextend: base.yaml\n";
    assert_eq!(heads(extend), [format!("dir/a.yaml:2:1: extend: {}", none("extend"))]);
    let error = load(extend, &[]).map(|_| ()).expect_err(extend);
    assert!(error.contains("help: did you mean `extends`?"), "{error}");
    let text = BASE.replace("optimizer:", "optimzer:").replace("loss: test_none\n", "");
    let loss = "dir/a.yaml:1:1: loss: this section is missing";
    assert_eq!(heads(&text), [format!("dir/a.yaml:8:1: optimzer: {}", none("optimzer")), loss.into()]);
    // As others call it.
    let text = BASE.replace("loss:", "criterion:");
    assert_eq!(heads(&text), [format!("dir/a.yaml:8:1: criterion: {}", none("criterion"))]);
    // Left empty beside a misspelled key, it is not misspelled.
    let text = BASE.replace("masking: test_half", "masking:").replace("seed: 7", "extend: base.yaml");
    let empty = "dir/a.yaml:7:8: masking: this section is empty".to_owned();
    assert_eq!(heads(&text), [format!("dir/a.yaml:2:1: extend: {}", none("extend")), empty]);
}

#[test]
fn mistakes_in_an_extended_file_name_that_file() {
    let error = |text: &str| load(text, &[]).map(|_| ()).expect_err(text);
    assert_eq!(
        error("extends: nowhere.yaml\n"),
        "dir/a.yaml:1:10: extends: cannot read dir/nowhere.yaml: there is no such file"
    );
    assert_eq!(
        error("extends: round.yaml\n"),
        "dir/ring.yaml:1:10: extends: leads in a circle: dir/a.yaml -> dir/round.yaml -> dir/ring.yaml -> dir/round.yaml"
    );
    assert!(error("extends: a.yaml\n").contains("leads in a circle: dir/a.yaml -> dir/a.yaml"));
    let inherited = error("extends: watched.yaml\nprobes: []\n");
    assert!(
        inherited.starts_with("dir/watched.yaml:17:22: collapse.0.metric: nothing measures"),
        "{inherited}"
    );
    for line in [
        "keep a probe `near`",
        "dir/a.yaml inherits this from dir/watched.yaml",
        "`collapse: []` there drops",
    ] {
        assert!(inherited.contains(line), "{line} is not in\n{inherited}");
    }
    assert!(error("extends: [a]\n").starts_with("dir/a.yaml:1:1: extends: is a list; expected a file name"));
    assert!(
        error("extends: base.yaml\ntrain: { batch_size: 100 }\nencoder: { patch: 5 }\n")
            .starts_with("dir/a.yaml:3:19: encoder.patch: is 5; images of 32 x 32 pixels")
    );
    assert!(
        error("extends: base.yaml\npredictor: { dim: 8 }\nencoder: { dim: 4 }\n")
            .starts_with("dir/a.yaml:2:19: predictor.dim: is 8, wider than the encoder's 4")
    );
}

#[test]
fn an_entry_without_a_value_is_named() {
    let error = broken("dim: 16", "dim:");
    assert!(error.contains("encoder.dim: has no value") && error.lines().count() == 2, "{error}");
}

#[test]
fn nothing_a_user_types_panics() {
    let texts = [
        "",
        "~",
        "- a",
        "3",
        "a",
        "{",
        "[",
        "a: {b: [c",
        "'",
        "\u{0}",
        "\u{feff}a: 1",
        "&a [*a]",
        "*x",
        "%YAML 9",
    ];
    for text in texts {
        assert!(load(text, &[]).is_err(), "{text}");
    }
    for unit in ["- ", "? ", "[", "{a: "] {
        assert!(load(&unit.repeat(100_000), &[]).is_err(), "{unit}");
    }
    for over in
        ["", "=", ".", "a.=1", "probes.9.k=1", "probes.x=1", "probes.0.=1", "seed={", "encoder=3", "train=4"]
    {
        assert!(load(BASE, &[over]).is_err(), "{over}");
    }
    for (i, _) in BASE.char_indices() {
        let _ = load(&BASE[..i], &[]);
        let _ = load(&format!("{}{}", &BASE[..i], BASE.get(i + 3..).unwrap_or("")), &[]);
    }
}

/// (replace, by, error)
const TABLE: &[(&str, &str, &str)] = &[
    ("seed: 7", "seed: -1", "dir/a.yaml:2:7: seed: is -1; allowed: at least 0"),
    (
        "seed: 7",
        "seed: 99999999999999999999",
        "dir/a.yaml:2:7: seed: is 1e20; allowed: 0 to 18446744073709551615",
    ),
    (
        "augmentation: [test_flip]",
        "augmentation:",
        "dir/a.yaml:4:13: augmentation: has no value\n\
     \x20 help: write `augmentation: []` for none, or leave the line out for the default",
    ),
    ("seed: 7", "seed: x", "dir/a.yaml:2:7: seed: is the text `x`; expected a whole number"),
    (
        "seed: 7",
        "sed: 7",
        "dir/a.yaml:2:1: sed: there is no section `sed`\n\
     \x20 help: did you mean `seed`?\n\
     \x20       allowed: version, extends, name, seed, device, dataset, augmentation, encoder, predictor, masking, targets, loss, optimizer, learning_rate, weight_decay, ema, regularizers, init, train, probes, collapse",
    ),
    (
        "seed: 7",
        "seed: 7\nseed: 8",
        "dir/a.yaml:3:1: duplicated key in mapping\n\
     \x20 help: keep one of the two entries",
    ),
    (
        "seed: 7",
        "\tseed: 7",
        "dir/a.yaml:1:7: while scanning a plain scalar, found a tab\n\
     \x20 help: indent with spaces",
    ),
    ("seed: 7", "version: 2", "dir/a.yaml:2:10: version: is 2; allowed: 1"),
    (
        "seed: 7",
        "device: gpu",
        "dir/a.yaml:2:9: device: is the text `gpu`; allowed: auto, cpu, cuda or cuda:N",
    ),
    (
        "name: quickstart",
        "name: Quick Start",
        "dir/a.yaml:1:7: name: is the text `Quick Start`; allowed: 1 to 80 of the characters a-z, 0-9, - and _",
    ),
    (
        "masking: test_half",
        "masking: test_hlaf",
        "dir/a.yaml:7:10: masking.kind: there is no masking `test_hlaf` in this program\n\
     \x20 help: did you mean `test_half`?\n\
     \x20       there are: test_half, test_ratio\n\
     \x20       one of your own crate must be named by the program that runs it: `use my_crate as _;`",
    ),
    (
        "masking: test_half",
        "masking: zzz",
        "dir/a.yaml:7:10: masking.kind: there is no masking `zzz` in this program\n\
     \x20 help: there are: test_half, test_ratio\n\
     \x20       one of your own crate must be named by the program that runs it: `use my_crate as _;`",
    ),
    (
        "masking: test_half",
        "masking: { gap: 3 }",
        "dir/a.yaml:7:1: masking: says not which masking: `kind` is missing\n\
     \x20 help: there are: test_half, test_ratio",
    ),
    (
        "masking: test_half",
        "masking: 3",
        "dir/a.yaml:7:10: masking: is 3; expected the name of a masking, or a mapping with `kind`\n\
     \x20 help: there are: test_half, test_ratio",
    ),
    (
        "masking: test_half",
        "masking:",
        "dir/a.yaml:7:8: masking: this section is empty\n\
     \x20 help: write `masking: NAME`; there are: test_half, test_ratio",
    ),
    (
        "masking: test_half",
        "masking: { kind: [a] }",
        "dir/a.yaml:7:12: masking.kind: is a list; expected a name\n\
     \x20 help: there are: test_half, test_ratio",
    ),
    (
        "masking: test_half",
        "masking: test_ratio",
        "dir/a.yaml:7:10: masking: setting `ratio` of masking `test_ratio` is missing\n\
     \x20 help: ratio: Share of patches seen.",
    ),
    (
        "masking: test_half",
        "masking: { kind: test_half, gap: 64 }",
        "dir/a.yaml:7:34: masking.gap: is 64; the grid has 64 patches\n\
     \x20 help: take a smaller gap",
    ),
    (
        "masking: test_half",
        "masking: { kind: test_half, scale: [0.1] }",
        "dir/a.yaml:7:29: masking.scale: has 1 entry; expected 2",
    ),
    (
        "masking: test_half",
        "masking: { kind: test_half, scale: [0.1, b] }",
        "dir/a.yaml:7:42: masking.scale.1: is the text `b`; expected a number",
    ),
    ("dim: 16", "depth: 65", "dir/a.yaml:5:35: encoder.depth: is 65; allowed: 1 to 64"),
    ("dim: 16", "drop_path: 1.5", "dir/a.yaml:5:39: encoder.drop_path: is 1.5; allowed: 0 to 1"),
    (
        "dim: 16",
        "positions: sincos",
        "dir/a.yaml:5:39: encoder.positions: is the text `sincos`; expected one of `sin_cos`, `learned`\n\
     \x20 help: did you mean `sin_cos`?",
    ),
    (
        "dim: 16",
        "patch: 5",
        "dir/a.yaml:5:35: encoder.patch: is 5; images of 32 x 32 pixels do not divide into such patches\n\
     \x20 help: possible: 2, 4, 8, 16, 32",
    ),
    ("dim: 16", "dim: 1.5", "dir/a.yaml:5:33: encoder.dim: is 1.5; expected a whole number"),
    (
        "augmentation: [test_flip]",
        "augmentation: [normalize, test_flip, color_jitter]",
        "dir/a.yaml:4:38: augmentation.2: `color_jitter` works on values 0 to 1, which `normalize` before it leaves\n\
     \x20 help: write it above `normalize`",
    ),
    (
        "augmentation: [test_flip]",
        "augmentation: test_flip",
        "dir/a.yaml:4:15: augmentation: is the text `test_flip`; expected a list\n\
     \x20 help: write `augmentation: [...]`",
    ),
    (
        "augmentation: [test_flip]",
        "augmentation: [test_flip, 3]",
        "dir/a.yaml:4:27: augmentation.1: is 3; expected the name of an augmentation, or a mapping with `kind`\n\
     \x20 help: there are: test_flip",
    ),
    (
        "ema: { kind: test_line, start: 0.996, end: 1 }",
        "ema: { kind: test_line, start: 0.996, end: 2 }",
        "dir/a.yaml:12:1: ema: the momentum goes from 0.996 to 2; 2 is outside 0 to 1\n\
     \x20 help: 1 keeps the teacher as it is, 0 copies the student",
    ),
    ("end: 0 }", "end: .inf }", "dir/a.yaml:10:53: learning_rate.end: is not a finite number"),
    (
        "train: { epochs: 2, batch_size: 100 }",
        "train: { epochs: 0 }",
        "dir/a.yaml:13:1: train: setting `batch_size` of `train` is missing\n\
     \x20 help: batch_size: Images per optimizer step. What is left over at the end of an epoch is dropped.\n\
     dir/a.yaml:13:18: train.epochs: is 0; allowed: 1 to 1000000",
    ),
    (
        "train: { epochs: 2, batch_size: 100 }\n",
        "",
        "dir/a.yaml:1:1: train: this section is missing\n\
     \x20 help: write `train: { epochs: 100, batch_size: 64 }`",
    ),
    (
        "batch_size: 100",
        "batch_size: 1001",
        "dir/a.yaml:13:33: train.batch_size: is 1001, more than the 1000 training images\n\
     \x20 help: allowed: 1 to 1000",
    ),
    (
        "name: near",
        "name: test_knn",
        "dir/a.yaml:16:5: probes.1.name: a probe above is named `test_knn` too\n\
     \x20 help: give each probe a `name` of its own",
    ),
    (
        "every: 1",
        "evry: 1",
        "dir/a.yaml:15:35: probes.0.evry: probe `test_knn` has no setting `evry`\n\
     \x20 help: did you mean `every`?\n\
     \x20       allowed: k, name, every, encoders, controls, labels, predictions",
    ),
    (
        "controls: [pixels]",
        "controls: [pixel]",
        "dir/a.yaml:15:62: probes.0.controls.0: is the text `pixel`; expected one of `random_init`, `pixels`, `pca`\n\
     \x20 help: did you mean `pixels`?",
    ),
    (
        "controls: [pixels]",
        "encoders: []",
        "dir/a.yaml:15:51: probes.0.encoders: has 0 entries; expected at least 1",
    ),
];

/// (override, error)
const OVERRIDES: &[(&str, &str)] = &[
    (
        "encoder.dept=4",
        "override `encoder.dept=4`: encoder.dept: encoder `test_vit` has no setting `dept`\n\
     \x20 help: did you mean `depth`?\n\
     \x20       allowed: depth, dim, patch, drop_path, positions",
    ),
    (
        "encodr.depth=4",
        "override `encodr.depth=4`: encodr.depth: there is no section `encodr`\n\
     \x20 help: did you mean `encoder`?\n\
     \x20       allowed: version, extends, name, seed, device, dataset, augmentation, encoder, predictor, masking, targets, loss, optimizer, learning_rate, weight_decay, ema, regularizers, init, train, probes, collapse",
    ),
    ("encoder.depth=0", "override `encoder.depth=0`: encoder.depth: is 0; allowed: 1 to 64"),
    (
        "masking=test_hlf",
        "override `masking=test_hlf`: masking.kind: there is no masking `test_hlf` in this program\n\
     \x20 help: did you mean `test_half`?\n\
     \x20       there are: test_half, test_ratio\n\
     \x20       one of your own crate must be named by the program that runs it: `use my_crate as _;`",
    ),
    (
        "probes.2.k=1",
        "override `probes.2.k=1`: probes.2.k: list `probes` has no entry `2`\n\
     \x20 help: `probes` has the entries 0 to 1; or give the whole list: probes=[...]",
    ),
    ("seed.x=1", "override `seed.x=1`: seed.x: `seed` holds 7 and has no settings"),
    (
        "epochs=3",
        "override `epochs=3`: epochs: there is no section `epochs`\n\
     \x20 help: did you mean `train.epochs`?\n\
     \x20       sections: version, extends, name, seed, device, dataset, augmentation, encoder, predictor, masking, targets, loss, optimizer, learning_rate, weight_decay, ema, regularizers, init, train, probes, collapse",
    ),
    (
        "encoder.depth=",
        "override `encoder.depth=`: encoder.depth: has no value\n\
     \x20 help: write a value, or encoder.depth=null for the default; a shell variable may be empty",
    ),
    (
        "seed=[1",
        "override `seed=[1`: seed: while parsing a flow sequence, expected ',' or ']'\n\
     \x20 help: the shell takes spaces apart: put the whole override in quotes, such as 'encoder={ kind: vit }'",
    ),
];
