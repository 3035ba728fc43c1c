//! `ijepa-run explore RUN [RUN]`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, exit, looking_args::LookingArgs, page, print, show, signals};
use crate::explore::{ExploreRequest, MOST_RUNS, explore as page_of};

const EXAMPLES: &str = "\
The page holds everything: no network, no script. Features are those of the target encoder at the last
weights, of test images without augmentation. The same run gives the same bytes for any number of threads.

Examples:
  ijepa-run explore 001765f2                      the run whose identity starts like this
  ijepa-run explore results/baseline-s0-001765f2  a run folder, finished or still running
  ijepa-run explore 001765f2 8a11c3d0             two runs side by side: CKA, neighbours that differ
  ijepa-run explore 001765f2 --images 10000 --output page.html

Exit codes:
   0  written
   1  the page or the data could not be written or read
   2  usage error: no such run, runs of other images
  75  stopped on request";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExploreArgs {
    /// Run folder, or the start of its name or identity; a second one is compared with the first.
    #[arg(value_name = "RUN", required = true, num_args = 1..=MOST_RUNS)]
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
    let runs: Result<Vec<PathBuf>, String> =
        args.runs.iter().map(|run| show::find(run, &args.looking.results)).collect();
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

fn default_page(runs: &[PathBuf]) -> PathBuf {
    match runs {
        [first, second, ..] => {
            let name = second.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            first.join(format!("explore-{name}.html"))
        }
        _ => runs.first().map_or_else(PathBuf::new, |run| run.join("explore.html")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_stands_in_the_folder_of_the_first_run() {
        let page = |runs: &[&str]| default_page(&runs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(page(&["results/a"]), Path::new("results/a/explore.html"));
        assert_eq!(page(&["results/a", "results/b"]), Path::new("results/a/explore-b.html"));
    }
}
