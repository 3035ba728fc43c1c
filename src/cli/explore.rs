//! `ijepa-run explore RUN [RUN]`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, exit, looking_args::LookingArgs, page, print, show, signals};
use crate::{
    explore::{ExploreRequest, ExploredRun, MOST_RUNS, explore as page_of},
    results::is_run_folder,
    run::foreign::foreign_file,
};

const EXAMPLES: &str = "\
The page holds everything: no network, no script. Features are those of the target encoder at the last
weights, of test images without augmentation. The same run gives the same bytes for any number of threads.

Examples:
  ijepa-run explore 001765f2                      the run whose identity starts like this
  ijepa-run explore results/baseline-s0-001765f2  a run folder, finished or still running
  ijepa-run explore 001765f2 8a11c3d0             two runs side by side: CKA, neighbours that differ
  ijepa-run explore 001765f2 model.safetensors    beside a vision transformer of timm, on the same images
  ijepa-run explore 001765f2@20 001765f2          the weights that `train.keep_every` kept of epoch 20, beside the last
  ijepa-run explore 001765f2 --images 10000 --output page.html

Exit codes:
   0  written
   1  the page or the data could not be written or read
   2  usage error: no such run, runs of other images
  75  stopped on request";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExploreArgs {
    /// Run folder, or the start of its name or identity; a second one is compared with the first. RUN@N takes the
    /// weights that were kept of epoch N. The second may be a vision transformer in timm's names: a safetensors file,
    /// or a folder with model.safetensors and config.json.
    #[arg(value_name = "RUN[@N]", required = true, num_args = 1..=MOST_RUNS)]
    runs: Vec<PathBuf>,
    /// Page to write; by default explore.html in the folder of the first run, explore-NAME.html beside two.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Images whose features are looked at, evenly spaced over the test images.
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(10..=50_000))]
    images: u32,
    #[command(flatten)]
    looking: LookingArgs,
}

/// Writes the page.
pub(crate) fn explore(args: &ExploreArgs) -> Exit {
    let runs: Result<Vec<ExploredRun>, String> =
        args.runs.iter().map(|run| explored(run, &args.looking.results)).collect();
    let runs = match runs {
        Ok(runs) => runs,
        Err(message) => {
            print::stderr(&message);
            return Exit::Config;
        }
    };
    let page = args.output.clone().unwrap_or_else(|| default_page(&runs));
    let request = ExploreRequest {
        runs,
        images: args.images as usize,
        data: args.looking.data.clone(),
        threads: args.looking.threads(),
        verbosity: args.looking.verbosity(),
    };
    match page_of(&request, signals::stop_flag()) {
        Ok(Some(html)) => page::written(&page, &html),
        Ok(None) => Exit::Requeue,
        Err(error) => {
            print::stderr(&format!("error: {error}"));
            exit::exit_of(&error)
        }
    }
}

/// The run that a word means, with the epoch behind an `@`; a folder may have one in its name.
fn explored(word: &Path, results: &Path) -> Result<ExploredRun, String> {
    if let Some(file) = foreign_file(word).filter(|_| !is_run_folder(word)) {
        return Ok(ExploredRun { folder: file, epoch: None, foreign: true });
    }
    let run =
        |word: &Path, epoch| Ok(ExploredRun { folder: show::find(word, results)?, epoch, foreign: false });
    let text = word.to_string_lossy();
    let parts = text.rsplit_once('@').and_then(|(run, epoch)| Some((run, epoch.parse().ok()?)));
    match parts.filter(|_| !word.is_dir()) {
        Some((name, epoch)) => run(name.as_ref(), Some(epoch)),
        None => run(word, None),
    }
}

fn default_page(runs: &[ExploredRun]) -> PathBuf {
    let at = |run: &ExploredRun| run.epoch.map_or(String::new(), |epoch| format!("@{epoch}"));
    match runs {
        [first, second, ..] => {
            let name =
                second.folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            first.folder.join(format!("explore{}-{name}{}.html", at(first), at(second)))
        }
        _ => {
            runs.first().map_or_else(PathBuf::new, |run| run.folder.join(format!("explore{}.html", at(run))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stands_in_the_folder_of_the_first_run() {
        let run = |&(folder, epoch): &(&str, Option<u64>)| ExploredRun {
            folder: folder.into(),
            epoch,
            foreign: false,
        };
        let page = |runs: &[(&str, Option<u64>)]| default_page(&runs.iter().map(run).collect::<Vec<_>>());
        assert_eq!(page(&[("results/a", None)]), Path::new("results/a/explore.html"));
        assert_eq!(page(&[("results/a", None), ("results/b", None)]), Path::new("results/a/explore-b.html"));
        assert_eq!(
            page(&[("results/a", Some(5)), ("results/a", None)]),
            Path::new("results/a/explore@5-a.html")
        );
    }
}
