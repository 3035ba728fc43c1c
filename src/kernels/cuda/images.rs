//! Images that stay on the device, and the patches of views of them.

use cudarc::driver::CudaSlice;
use dfdx::prelude::Cuda;
use ijepa_registry::{
    edit::{ChannelMap, Crop},
    image::ImageShape,
    recipe::{Recipe, Stage},
    tensor::{ModelError, Rows},
};

use super::super::check::ensure;
use super::super::{Memory, Result};
use super::address::{of, unfilled};
use super::gpu::{Done, Gpu, memory};
use super::launch::{Arg, Grid, args};

/// The part of the free memory that the images of a split may take: the rest is the model's.
const SHARE: usize = 4;

/// Flips of an `ImageView` of `device/images.cu`.
const FLIP_BEFORE: u32 = 1;
const FLIP_AFTER: u32 = 2;

/// Images of a split, on the device.
pub struct Images {
    device: Cuda,
    bytes: CudaSlice<u8>,
    shape: ImageShape,
    count: usize,
}

impl Images {
    /// See [`super::Backend::keep_images`].
    pub fn keep(device: &Cuda, pixels: &[u8], shape: ImageShape) -> Result<Option<Images>> {
        ensure(!shape.is_empty() && pixels.len().is_multiple_of(shape.len()), || {
            format!("{} bytes of images of {shape:?}", pixels.len())
        })?;
        let bytes = upload(device, pixels).map_err(ModelError::from_debug)?;
        let count = pixels.len() / shape.len();
        Ok(bytes.map(|bytes| Images { device: device.clone(), bytes, shape, count }))
    }

    /// See [`super::Backend::patches`].
    pub fn patches(&self, recipes: &[Recipe], patch: usize) -> Result<Rows<Cuda>> {
        let ImageShape { channels, height, width } = self.shape;
        ensure(patch > 0 && height.is_multiple_of(patch) && width.is_multiple_of(patch), || {
            format!("patches of {patch} pixels on images of {height} x {width}")
        })?;
        recipes.iter().try_for_each(|recipe| self.check(recipe))?;
        let words: Vec<u32> = recipes.iter().flat_map(|recipe| words(recipe, self.shape)).collect();
        let rows = (recipes.len() * self.shape.grid(patch).len(), channels * patch * patch);
        self.cut(&words, rows, patch).map_err(ModelError::from_debug)
    }

    /// Refuses what would lead the kernel out of the images.
    fn check(&self, recipe: &Recipe) -> Result<()> {
        let has_length = |values: &[f32]| values.len() == self.shape.channels;
        let fits = |map: &ChannelMap| has_length(&map.mean) && has_length(&map.scale);
        let maps = [&recipe.before, &recipe.after].into_iter().filter_map(|stage| stage.channels.as_ref());
        let inside = recipe.crop.is_none_or(|crop| crop.fits(self.shape));
        ensure((recipe.image as usize) < self.count && inside && maps.into_iter().all(fits), || {
            format!("{recipe:?} on {} images of {:?}", self.count, self.shape)
        })
    }

    fn cut(&self, words: &[u32], (rows, columns): (usize, usize), patch: usize) -> Done<Rows<Cuda>> {
        let gpu = Gpu::of(&self.device)?;
        let out: Rows<Cuda> = unfilled(&self.device, (rows, columns))?;
        let (views, count) = (gpu.upload(words)?, rows * columns);
        let ImageShape { channels, height, width } = self.shape;
        let to = of(&out)?;
        let args = args![&self.bytes, &views, to, Arg::Long(count as i64), channels, height, width, patch];
        gpu.launch("cut_views", Grid::elements(count), &args)?;
        Ok(out)
    }
}

/// A copy on the device, if there is room. Waits for it: it is made once, and pages locked for it would
/// stay locked.
fn upload(device: &Cuda, pixels: &[u8]) -> Done<Option<CudaSlice<u8>>> {
    let (gpu, Memory { total, in_use }) = (Gpu::of(device)?, memory(device)?);
    let fits = pixels.len() <= (total - in_use) / SHARE;
    Ok(fits.then(|| gpu.driver.htod_sync_copy(pixels)).transpose()?)
}

/// An `ImageView` of `device/images.cu` and the floats after it. Maps that do nothing, and a crop of everything,
/// stand for none: they give the same bits.
fn words(recipe: &Recipe, shape: ImageShape) -> Vec<u32> {
    let crop = recipe.crop.unwrap_or(Crop::whole(shape));
    let flip = |stage: &Stage, bit| if stage.flip { bit } else { 0 };
    let flips = flip(&recipe.before, FLIP_BEFORE) | flip(&recipe.after, FLIP_AFTER);
    let sizes = [crop.top, crop.left, crop.height, crop.width].map(|n| n as u32);
    let mut words = [&[recipe.image, flips], &sizes[..]].concat();
    for stage in [&recipe.before, &recipe.after] {
        let map = stage.channels.clone().unwrap_or_else(|| ChannelMap::identity(shape.channels));
        words.extend(map.mean.iter().chain(&map.scale).map(|v| v.to_bits()));
    }
    words
}
