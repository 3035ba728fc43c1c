//! Images that the device holds for the life of a session, and what is made of them.

use std::ops::Range;

use ijepa_registry::{device::transform::TransformProgram, prelude::*};

use super::Session;
use crate::{
    data::{BatchImages, LoaderPlan},
    kernels::Backend,
    model::BuildDevice,
};

/// The images of all splits on the device, as far as it has them.
pub struct DeviceImages<D: Backend> {
    train: Option<D::Images>,
    test: Option<D::Images>,
    validation: Option<D::Images>,
}

impl<D: Backend> DeviceImages<D> {
    /// Copies them there, if the device takes them.
    pub fn new(device: &D, data: &ImageSet) -> Result<Self, ModelError> {
        let keep = |split: &Split| match split.pixels.in_memory() {
            Some(pixels) if !pixels.is_empty() => device.keep_images(pixels, data.shape),
            // None, or more than the memory of the host takes.
            _ => Ok(None),
        };
        let ImageSet { train, test, validation, .. } = data;
        Ok(DeviceImages { train: keep(train)?, test: keep(test)?, validation: keep(validation)? })
    }
}

/// A split on the host, and on the device if that holds its images too.
pub struct SplitImages<'a, D: Backend> {
    /// On the host.
    pub split: &'a Split,
    /// On the device.
    pub resident: Option<&'a D::Images>,
}

impl<D: BuildDevice> Session<D> {
    /// Batches of so many epochs in the form that the device takes.
    pub fn loader_plan(&self, epochs: u64) -> LoaderPlan {
        let programs = self.resident.train.is_some();
        LoaderPlan { programs, ..LoaderPlan::new(self.plan.batch_size, epochs) }
    }

    /// What is trained on.
    pub fn train_images(&self) -> SplitImages<'_, D> {
        SplitImages { split: &self.plan.source.data.train, resident: self.resident.train.as_ref() }
    }

    /// What is held out to choose by.
    pub fn validation_images(&self) -> SplitImages<'_, D> {
        SplitImages { split: &self.plan.source.data.validation, resident: self.resident.validation.as_ref() }
    }

    /// What is held out.
    pub fn test_images(&self) -> SplitImages<'_, D> {
        SplitImages { split: &self.plan.source.data.test, resident: self.resident.test.as_ref() }
    }

    /// All patches of some images of a split as features are extracted from them.
    pub fn evaluation_images(
        &self,
        from: &SplitImages<D>,
        indices: &[usize],
    ) -> Result<PatchBatch<D>, ModelError> {
        let (jepa, pipeline, data) = (&self.jepa, &self.plan.source.pipeline, &self.plan.source.data);
        let programs = || -> Option<Vec<TransformProgram>> {
            indices.iter().map(|&i| pipeline.evaluation_program(data.shape, i)).collect()
        };
        if let Some((images, programs)) = from.resident.and_then(|images| Some((images, programs()?))) {
            return jepa.images_of_programs(images, &programs);
        }
        let image = |&i: &usize| pipeline.evaluation_image(data, from.split, i).data;
        let images: Vec<f32> = indices.iter().flat_map(image).collect();
        jepa.images_of_patches(&jepa.geometry.patches(&images))
    }

    /// All patches of a part of a training batch.
    pub(super) fn batch_images(
        &self,
        images: &BatchImages,
        part: Range<usize>,
    ) -> Result<PatchBatch<D>, ModelError> {
        match images {
            BatchImages::Patches(patches) => {
                let length = self.jepa.geometry.image.len();
                self.jepa.images_of_patches(&patches[part.start * length..part.end * length])
            }
            BatchImages::Programs(programs) => {
                let missing = || ModelError("a batch of recipes for images that the device lacks".into());
                let resident = self.resident.train.as_ref().ok_or_else(missing)?;
                self.jepa.images_of_programs(resident, &programs[part])
            }
        }
    }
}
