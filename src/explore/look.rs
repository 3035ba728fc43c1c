//! What is taken from a run: its features, its tables, the distance of its teacher.

use std::sync::atomic::{AtomicBool, Ordering};

use ijepa_registry::{mask::Grid, prelude::*};

use super::{
    ExploredRun,
    curves::Tables,
    facts::{facts, facts_of_model},
    predictions::{Confusion, confusions},
    sample::{Sample, spaced},
};
use crate::{
    events::Phase,
    model::BuildDevice,
    results::FileError,
    run::{RunError, stored::OnSession},
    sinks::Progress,
    train::{Session, SplitImages},
};

/// Images per pass.
const BATCH: usize = 256;

/// Images whose tokens the colours of patches are made from.
const TOKEN_IMAGES: usize = 64;

/// Images that are shown patch by patch.
pub(super) const SHOWN: usize = 8;

/// One run as it is shown.
pub(super) struct Look {
    /// Name of its folder.
    pub name: String,
    /// What it is, in words.
    pub facts: Vec<(&'static str, String)>,
    /// Whose features: `target` or `context`.
    pub encoder: &'static str,
    /// Its numbers.
    pub tables: Tables,
    /// What probes said of every image.
    pub confusions: Vec<Confusion>,
    /// Width of a feature.
    pub dim: usize,
    /// Blocks of the encoder.
    pub depth: usize,
    /// Mean tokens after every block, the last one last, side by side: `(image, block x dim)`.
    pub layers: Vec<f32>,
    /// Tokens of some of the images: which of the sample they are, and `(image, patch, dim)`.
    pub tokens: (Vec<usize>, Vec<f32>),
    /// Of the shown images the share of attention that every patch receives in the last block, mean over all patches:
    /// heads, and `(image, head, patch)`; none for an encoder without attention.
    pub attention: Option<(usize, Vec<f32>)>,
    /// The grid of the patches.
    pub grid: Grid,
    /// Part of the encoder, and how far the teacher is from the student there.
    pub lag: Vec<(String, f64)>,
}

impl Look {
    /// Mean tokens after one block, from 0: `(image, dim)`.
    pub fn layer(&self, block: usize) -> Vec<f32> {
        let of = |row: &[f32]| row[block * self.dim..(block + 1) * self.dim].to_vec();
        self.layers.chunks_exact(self.depth * self.dim).flat_map(of).collect()
    }

    /// Features as probes see them: of the last block.
    pub fn features(&self) -> Vec<f32> {
        self.layer(self.depth - 1)
    }
}

/// How a run is looked at.
pub(super) struct Looking<'a> {
    pub name: &'a str,
    pub run: &'a ExploredRun,
    pub sample: &'a Sample,
    pub stop: &'a AtomicBool,
}

impl OnSession for Looking<'_> {
    type Output = Option<Look>;

    fn on<D: BuildDevice>(
        self,
        session: &Session<D>,
        progress: &mut Progress,
    ) -> Result<Option<Look>, RunError> {
        let ExploredRun { folder, epoch, foreign } = self.run;
        let damaged = |error: FileError| RunError::Damaged(error, folder.into());
        let jepa = &session.jepa;
        let (encoder, of) = match jepa.target_encoder() {
            Some(teacher) => (teacher, "target"),
            None => (jepa.context_encoder.as_ref(), "context"),
        };
        let depth = session.builder.encoder.layers();
        let needs = Needs { layers: depth, ..Needs::POOLED };
        let all: Vec<usize> = (0..self.sample.count()).collect();
        let Some(layers) = self.features(session, encoder, needs, &all, progress)? else { return Ok(None) };
        let some = spaced(self.sample.count(), TOKEN_IMAGES);
        let Some(tokens) = self.features(session, encoder, Needs::TOKENS, &some, progress)? else {
            return Ok(None);
        };
        Ok(Some(Look {
            name: self.name.into(),
            facts: if *foreign {
                facts_of_model(folder, session)
            } else {
                facts(folder, *epoch).map_err(damaged)?
            },
            encoder: of,
            tables: if *foreign { Tables::default() } else { Tables::read(folder).map_err(damaged)? },
            confusions: if *foreign { Vec::new() } else { confusions(folder, *epoch).map_err(damaged)? },
            dim: jepa.geometry.dim,
            depth,
            layers,
            attention: self.attention(session, encoder, &shown(&some))?,
            tokens: (some, tokens),
            grid: jepa.geometry.grid(),
            lag: if *foreign { Vec::new() } else { lag(session) },
        }))
    }
}

impl Looking<'_> {
    /// Features of some images of the sample; none if `stop` was set meanwhile.
    fn features<D: BuildDevice>(
        &self,
        session: &Session<D>,
        encoder: &dyn Encoder<D>,
        needs: Needs,
        images: &[usize],
        progress: &mut Progress,
    ) -> Result<Option<Vec<f32>>, RunError> {
        let failed = |error| RunError::Train(crate::train::TrainError::Model(error));
        let from = self.split(session);
        let mut features = Vec::new();
        for (chunk, done) in images.chunks(BATCH).zip(0..) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let indices: Vec<usize> = chunk.iter().map(|&i| self.sample.indices[i]).collect();
            let batch = session.evaluation_images(&from, &indices).map_err(failed)?;
            features.extend(session.jepa.features(encoder, needs, &batch).map_err(failed)?);
            let done = (done * BATCH + chunk.len()) as u64;
            progress.phase(&Phase {
                what: format!("features of {}", self.name),
                done,
                total: images.len() as u64,
            });
        }
        Ok(Some(features))
    }

    /// Attention that patches of some images receive.
    fn attention<D: BuildDevice>(
        &self,
        session: &Session<D>,
        encoder: &dyn Encoder<D>,
        images: &[usize],
    ) -> Result<Option<(usize, Vec<f32>)>, RunError> {
        let failed = |error| RunError::Train(crate::train::TrainError::Model(error));
        let indices: Vec<usize> = images.iter().map(|&i| self.sample.indices[i]).collect();
        let batch = session.evaluation_images(&self.split(session), &indices).map_err(failed)?;
        let maps = encoder.attention(&batch).map_err(failed)?;
        Ok(maps.map(|maps| (maps.heads, received(&maps))))
    }

    fn split<'a, D: BuildDevice>(&self, session: &'a Session<D>) -> SplitImages<'a, D> {
        match self.sample.split {
            "test" => session.test_images(),
            "validation" => session.validation_images(),
            _ => session.train_images(),
        }
    }
}

/// Those of the images with tokens that are shown.
pub(super) fn shown(images: &[usize]) -> Vec<usize> {
    spaced(images.len(), SHOWN).into_iter().map(|i| images[i]).collect()
}

/// Mean over the patches that attend: `(image, head, patch)`.
fn received(maps: &AttentionMaps) -> Vec<f32> {
    let patches = maps.patches;
    let of = |square: &[f32]| -> Vec<f32> {
        let column = |j: usize| square.iter().skip(j).step_by(patches).sum::<f32>() / patches as f32;
        (0..patches).map(column).collect()
    };
    maps.weights.chunks_exact(patches * patches).flat_map(of).collect()
}

/// How far the teacher `t` is from the student `s`, part by part: `|t - s| / |s|` over all parameters of the part.
/// Empty for a model whose teacher has no parameters of its own.
fn lag<D: BuildDevice>(session: &Session<D>) -> Vec<(String, f64)> {
    let params = session.jepa.all_params();
    let own = |root: &str| -> Vec<(String, Vec<f32>)> {
        let of = params
            .iter()
            .filter_map(|(name, p)| Some((name.strip_prefix(root)?.to_owned(), p.data.as_vec())));
        of.collect()
    };
    let (student, teacher) = (own("context_encoder."), own("target_encoder."));
    let mut parts: Vec<(String, f64, f64)> = Vec::new();
    for (name, weights) in &student {
        let Some((_, shadow)) = teacher.iter().find(|(other, _)| other == name) else { continue };
        let part = part(name);
        let place = parts.iter().position(|(p, ..)| *p == part).unwrap_or_else(|| {
            parts.push((part, 0.0, 0.0));
            parts.len() - 1
        });
        for (s, t) in weights.iter().zip(shadow) {
            parts[place].1 += f64::from(t - s).powi(2);
            parts[place].2 += f64::from(*s).powi(2);
        }
    }
    parts
        .into_iter()
        .filter(|(_, _, own)| *own > 0.0)
        .map(|(part, far, own)| (part, (far / own).sqrt()))
        .collect()
}

/// The part of an encoder that a parameter belongs to: `blocks.3` of `blocks.3.attn.qkv.weight`.
fn part(name: &str) -> String {
    let mut words = name.split('.');
    let first = words.next().unwrap_or_default();
    match words.next().filter(|word| first == "blocks" && word.parse::<usize>().is_ok()) {
        Some(block) => format!("{first}.{block}"),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_belong_to_blocks_or_to_what_stands_beside_them() {
        assert_eq!(part("blocks.3.attn.qkv.weight"), "blocks.3");
        assert_eq!(
            (part("patch_embed.proj.bias"), part("pos_embed")),
            ("patch_embed".into(), "pos_embed".into())
        );
    }
}
