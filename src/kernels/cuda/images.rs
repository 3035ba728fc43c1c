//! Images that stay on the device, and the patches of views of them.

use cudarc::driver::CudaSlice;
use dfdx::prelude::Cuda;
use ijepa_registry::{
    device::image_op::{ChannelMap, Crop},
    device::transform::{PointOps, TransformProgram},
    image::ImageShape,
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
    pub fn patches(&self, programs: &[TransformProgram], patch: usize) -> Result<Rows<Cuda>> {
        let ImageShape { channels, height, width } = self.shape;
        ensure(patch > 0 && height.is_multiple_of(patch) && width.is_multiple_of(patch), || {
            format!("patches of {patch} pixels on images of {height} x {width}")
        })?;
        programs.iter().try_for_each(|program| self.check(program))?;
        let words: Vec<u32> = programs.iter().flat_map(|program| words(program, self.shape)).collect();
        let rows = (programs.len() * self.shape.grid(patch).len(), channels * patch * patch);
        self.cut(&words, rows, patch).map_err(ModelError::from_debug)
    }

    /// Refuses what would lead the kernel out of the images.
    fn check(&self, program: &TransformProgram) -> Result<()> {
        let has_length = |values: &[f32]| values.len() == self.shape.channels;
        let fits = |map: &ChannelMap| has_length(&map.mean) && has_length(&map.scale);
        let maps = [&program.before, &program.after].into_iter().filter_map(|ops| ops.channels.as_ref());
        let inside = program.crop.is_none_or(|crop| crop.fits(self.shape));
        ensure((program.image as usize) < self.count && inside && maps.into_iter().all(fits), || {
            format!("{program:?} on {} images of {:?}", self.count, self.shape)
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
fn words(program: &TransformProgram, shape: ImageShape) -> Vec<u32> {
    let crop = program.crop.unwrap_or(Crop::whole(shape));
    let flip = |ops: &PointOps, bit| if ops.flip { bit } else { 0 };
    let flips = flip(&program.before, FLIP_BEFORE) | flip(&program.after, FLIP_AFTER);
    let sizes = [crop.top, crop.left, crop.height, crop.width].map(|n| n as u32);
    let mut words = [&[program.image, flips], &sizes[..]].concat();
    for ops in [&program.before, &program.after] {
        let map = ops.channels.clone().unwrap_or_else(|| ChannelMap::identity(shape.channels));
        words.extend(map.mean.iter().chain(&map.scale).map(|v| v.to_bits()));
    }
    words
}
