//! Runs that start from the weights of another run.

use std::fs;

use crate::program::Folder;

/// A folder with a finished run, and the folder of that run.
fn started() -> (Folder, String) {
    let folder = Folder::new();
    assert_eq!(folder.run(&["tiny.yaml", "name=first", "-q"]).code, 0);
    let run = folder.run_folder().display().to_string();
    (folder, run)
}

/// The run folder whose name starts like that.
fn named(folder: &Folder, start: &str) -> std::path::PathBuf {
    let entries = fs::read_dir(folder.path().join("results")).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(start)).collect();
    assert_eq!(found.len(), 1, "{start}: {found:?}");
    found.pop().unwrap()
}

fn identity(folder: &Folder, changes: &[&str]) -> String {
    let told = folder.run(&[&["tiny.yaml", "name=second", "--dry-run"], changes].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    let start = told.stdout.find("second-s0-").unwrap_or_else(|| panic!("{}", told.stdout));
    told.stdout[start + 10..][..12].to_owned()
}

#[test]
fn training_starts_where_the_other_run_ended_and_resumes() {
    let (folder, run) = started();
    let init = format!("init={{ from: {run} }}");
    // Without a step in between the weights are those of the other run, and so are its features.
    let still = ["train.epochs=1", "learning_rate=0", "weight_decay=0", "ema=1.0"];
    let second = folder.run(&[&["tiny.yaml", "name=second", &init, "-q"], &still[..]].concat());
    assert_eq!(second.code, 0, "{}", second.stderr);
    for (name, file) in [("first", "1.npy"), ("second", "2.npy")] {
        let told = folder.run(&["features", name, "--output", file, "-q"]);
        assert_eq!(told.code, 0, "{}", told.stderr);
    }
    let features = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert!(features("1.npy") == features("2.npy"));
    let stored = fs::read_to_string(named(&folder, "second").join("experiment.yaml")).unwrap();
    assert!(stored.contains("weights: "), "{stored}");
    // In pieces, the other run gone after the first: the same bytes.
    let call = |name: &str, more: &[&str]| {
        folder.run(&[&["tiny.yaml", &format!("name={name}"), &init, "-q"], more].concat()).code
    };
    assert_eq!(call("whole", &[]), 0);
    assert_eq!(call("pieces", &["--until-epoch", "1"]), 75);
    let pieces = named(&folder, "pieces");
    fs::rename(&run, folder.path().join("moved")).unwrap();
    let file = pieces.join("experiment.yaml").display().to_string();
    let continued = folder.run(&[&file, "-q"]);
    assert_eq!(continued.code, 0, "{}", continued.stderr);
    for table in ["metrics.csv", "probes.csv"] {
        let read = |name: &str| fs::read(named(&folder, name).join(table)).unwrap();
        assert!(read("whole") == read("pieces"), "{table}");
    }
}

#[test]
fn the_weights_and_not_their_path_make_another_experiment() {
    let (folder, run) = started();
    let plain = identity(&folder, &[]);
    let from = identity(&folder, &[&format!("init={{ from: {run} }}")]);
    let encoder = identity(&folder, &[&format!("init={{ from: {run}, parts: [encoder] }}")]);
    assert!(plain != from && from != encoder);
    let order = format!("init={{ from: {run}, parts: [predictor, encoder] }}");
    assert_eq!(identity(&folder, &[&order]), from);
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(format!("{run}/weights.safetensors"), elsewhere.join("w.safetensors")).unwrap();
    assert_eq!(identity(&folder, &["init.from=elsewhere/w.safetensors"]), from);
    assert_eq!(identity(&folder, &["init=elsewhere/w.safetensors"]), from);
    // Weights of another seed are others.
    assert_eq!(folder.run(&["tiny.yaml", "name=other", "seed=1", "-q"]).code, 0);
    let other = named(&folder, "other").display().to_string();
    assert!(identity(&folder, &[&format!("init={other}")]) != from);
}

#[test]
fn positions_are_carried_over_to_another_resolution() {
    let (folder, run) = started();
    let init = format!("init={{ from: {run} }}");
    let larger = |encoder: &str| {
        folder.run(&[
            "tiny.yaml",
            "name=second",
            &init,
            "dataset.image_size=24",
            encoder,
            "train.epochs=1",
            "-q",
        ])
    };
    let told = larger("encoder.registers=0");
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(larger("encoder.patch=8").stderr.contains("patch_embed.proj.weight has shape"));
}

#[test]
fn weights_that_do_not_fit_are_refused_with_their_names() {
    let (folder, run) = started();
    let refused = |changes: &[&str]| {
        let told = folder.run(&[&["tiny.yaml", "name=second", "-q"], changes].concat());
        assert_eq!(told.code, 2, "{}", told.stderr);
        told.stderr
    };
    let init = format!("init={{ from: {run} }}");
    let deeper = refused(&[&init, "encoder.depth=3"]);
    assert!(deeper.contains("it holds no context_encoder.blocks.2."), "{deeper}");
    let wider = refused(&[&init, "predictor.dim=16"]);
    assert!(wider.contains("predictor.mask_token has shape [1, 1, "), "{wider}");
    assert!(!wider.contains("context_encoder"), "{wider}");
    // Only what is asked for has to fit.
    let encoder = format!("init={{ from: {run}, parts: [encoder] }}");
    assert_eq!(folder.run(&["tiny.yaml", "name=third", &encoder, "predictor.dim=16", "-q"]).code, 0);
    fs::write(folder.path().join("notes"), "no weights").unwrap();
    for (from, why) in [
        ("nowhere", "nowhere is not there"),
        ("notes", "it is damaged or not a safetensors file"),
        (".", "is no run folder and no file of weights"),
    ] {
        let told = refused(&[&format!("init={from}")]);
        assert!(told.contains(why) && told.contains("init"), "{told}");
    }
    let named = refused(&[&format!("init={{ from: {run}, weights: 0123456789abcdef }}")]);
    assert!(named.contains("init.weights: is 0123456789abcdef, but the weights in"), "{named}");
    let part = refused(&[&format!("init={{ from: {run}, parts: [encodr] }}")]);
    assert!(part.contains("encoder"), "{part}");
    assert_eq!(folder.run(&["tiny.yaml", "name=half", "-q", "--until-epoch", "1"]).code, 75);
    let half = fs::read_dir(folder.path().join("results")).unwrap().map(|e| e.unwrap().path());
    let half = half.into_iter().find(|p| p.display().to_string().contains("half")).unwrap();
    let told = refused(&[&format!("init={}", half.display())]);
    assert!(told.contains("is stopped, not done"), "{told}");
}
