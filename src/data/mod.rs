//! From a data set in memory to the rows a model multiplies: order, pipeline, batches, patches.
//!
//! Nothing here depends on a thread count. A batch, its masks included, is a function of (data set,
//! pipeline, masking, seed, epoch, step) alone ([`BatchSource::batch`]); the [`Loader`] only computes
//! it earlier, on threads of its own. This folder imports the contract and nothing else of the house.

mod batch;
mod decode;
mod file_state;
mod fingerprint;
mod folder;
mod holdout;
mod label_table;
mod loader;
mod order;
mod patches;
mod pipeline;
mod regular;
mod split;
mod stored;

pub use batch::{Batch, BatchImages, BatchSource};
pub(crate) use file_state::{FileState, user_folder};
pub use fingerprint::{Fingerprint, overlap};
pub use folder::{Found, Item, images_below};
pub use holdout::{held_out, hold_out};
pub(crate) use label_table::numbers_to_names;
pub use loader::{Loader, LoaderPlan};
pub use order::{batch_indices, epoch_order, steps_per_epoch};
pub use patches::patchify_into;
pub use pipeline::{Pipeline, train_image_by};
pub(crate) use regular::regular_text;
pub use regular::{regular, regular_file};
pub use split::decode_bytes;
pub(crate) use split::{Source, annotations, classes, folders, same_classes};
pub(crate) use stored::{Room, bytes_of, decoded_within};
