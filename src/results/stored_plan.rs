//! The plan of a sweep as it stands in its folder: what an engine's tasks carry out, wherever they run.

use std::path::{Component, Path, PathBuf};

use super::{
    FileError,
    columns::{PLAN, PlanRow},
    read,
};

/// `plan.csv` of a sweep folder, and where everything of its runs lies.
#[derive(Clone, Debug)]
pub struct StoredPlan {
    /// The sweep folder.
    pub folder: PathBuf,
    /// One row per run, in the order of the plan.
    pub runs: Vec<PlanRow>,
}

impl StoredPlan {
    /// Reads the plan of the sweep folder `folder`.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        Ok(StoredPlan { folder: folder.into(), runs: read::rows(folder, &PLAN)? })
    }

    /// Folder of the run folders, two above the sweep folder.
    pub fn results(&self) -> PathBuf {
        above(&self.folder)
    }

    /// Folder of a run.
    pub fn run_folder(&self, row: &PlanRow) -> PathBuf {
        self.results().join(&row.run_id)
    }

    /// The resolved experiment of a run.
    pub fn config(&self, index: usize) -> PathBuf {
        config(&self.folder, index)
    }
}

/// The resolved experiment of a run, in a sweep folder.
pub(super) fn config(sweep: &Path, index: usize) -> PathBuf {
    sweep.join(format!("configs/{index}.yaml"))
}

/// The folder that holds the run folders of a sweep folder; also where the path of that ends in dots.
pub fn above(sweep: &Path) -> PathBuf {
    let plain = sweep.components().all(|c| !matches!(c, Component::CurDir | Component::ParentDir));
    let above = sweep.parent().and_then(Path::parent).filter(|p| plain && !p.as_os_str().is_empty());
    above.map_or_else(|| sweep.join("../.."), Path::to_path_buf)
}
