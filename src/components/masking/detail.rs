//! Masks that depend on what an image shows.

use ijepa_registry::prelude::*;

use super::shared::nested::Nested;

/// Settings of `kind: detail`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Detail {
    /// The strategy that draws, with its settings.
    of: Nested,
    /// Draws of every image, one of which is taken. 1 is the strategy as it is.
    #[serde(default = "Detail::candidates")]
    #[schemars(range(min = 1, max = 64))]
    candidates: usize,
    /// Which of them is taken.
    #[serde(default)]
    hide: Hide,
}

/// Which parts of an image are to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Hide {
    /// Those with most detail: outlines, texture.
    #[default]
    Rich,
    /// Those with least: plain background.
    Flat,
}

component! {
    /// Of several masks that a strategy draws for an image, the one that hides the most detail, or the least.
    ///
    /// Detail of a patch is the variance of its pixels, mean over the channels; that of a mask is the mean over its
    /// predicted patches, of all blocks and views, those of two blocks twice. It asks whether targets should lie on
    /// objects: AttMask (Kakogeorgiou et al. 2022, arXiv 2203.12719) hides what a teacher attends to, and finds that
    /// better than hiding at random; here pixels decide, which costs no pass of the model. With more candidates the
    /// choice is stricter, and masks of an image differ less between epochs. Images are seen after augmentation.
    masking "detail" => Detail, example = "{ of: { kind: multiblock }, candidates: 4, hide: rich }",
    aliases = ["salient" => "{ kind: detail, of: { kind: multiblock } }",
        "content" => "{ kind: detail, of: { kind: multiblock } }"]
}

/// Variance of the pixels of every patch, mean over the channels, `(patch)`; exact sums in a fixed order.
fn detail(image: &Image, grid: Grid) -> Vec<f64> {
    let ImageShape { channels, height, width } = image.shape;
    let (rows, cols) = (height / grid.rows, width / grid.cols);
    let variance = |channel: usize, patch: usize| {
        let (top, left) = (patch / grid.cols * rows, patch % grid.cols * cols);
        let start = |r: usize| (channel * height + top + r) * width + left;
        let pixels = || (0..rows).flat_map(|r| &image.data[start(r)..start(r) + cols]).map(|&v| f64::from(v));
        let count = (rows * cols) as f64;
        let mean = pixels().sum::<f64>() / count;
        pixels().map(|v| (v - mean).powi(2)).sum::<f64>() / count
    };
    let of_patch = |patch| (0..channels).map(|c| variance(c, patch)).sum::<f64>() / channels as f64;
    (0..grid.len()).map(of_patch).collect()
}

impl Detail {
    fn candidates() -> usize {
        4
    }

    /// How much a mask is wanted: mean detail of what it hides, or its negative.
    fn score(&self, plan: &MaskPlan, detail: &[f64]) -> f64 {
        let hidden = || plan.targets().flatten().map(|&p| detail[p as usize]);
        let mean = hidden().sum::<f64>() / hidden().count().max(1) as f64;
        if self.hide == Hide::Rich { mean } else { -mean }
    }
}

impl Masking for Detail {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        let count = self.candidates;
        let sentence = || format!("{count} given; 1 to 64 are allowed");
        let wrong = (!(1..=64).contains(&count)).then(|| Problem::new("candidates", sentence()));
        wrong.into_iter().chain(self.of.check(grid, "of")).collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let own = |i| self.of.object.sample(grid, &Nested::own_draw(draw, i, self.candidates));
        let batches: Vec<MaskBatch> = (0..self.candidates).map(own).collect();
        let best = |(i, image): (usize, &Image)| {
            let detail = detail(image, grid);
            let score = |batch: &MaskBatch| self.score(&batch.plans[i], &detail);
            // Of equals the last one.
            let best = batches.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
            best.map_or_else(MaskPlan::default, |batch| batch.plans[i].clone())
        };
        let redraws = batches.iter().map(|batch| batch.redraws).sum();
        MaskBatch { plans: draw.pixels.iter().enumerate().map(best).collect(), redraws }
    }
    fn allows_overlap(&self) -> bool {
        self.of.object.allows_overlap()
    }
    fn min_context(&self) -> usize {
        self.of.object.min_context()
    }
    fn follows_progress(&self) -> bool {
        self.of.object.follows_progress()
    }
    fn sees_images(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 4, cols: 4 };

    /// Plain but for the bottom right quarter, whose pixels alternate.
    fn image() -> Image {
        let shape = ImageShape { channels: 2, height: 8, width: 8 };
        let pixel = |p: usize| {
            let (row, col) = (p / 8 % 8, p % 8);
            let rich = row >= 4 && col >= 4 && (row + col) % 2 == 1;
            if rich { 1.0 } else { 0.5 }
        };
        Image { shape, data: (0..shape.len()).map(pixel).collect() }
    }

    fn masks(hide: Hide, candidates: usize, images: u64) -> Vec<MaskPlan> {
        let settings = serde_json::json!({ "scale": [0.25, 0.25], "aspect": [1.0, 1.0] });
        let masking = Detail { of: Nested::new("block", &settings).unwrap(), candidates, hide };
        assert_eq!(masking.check(GRID), vec![]);
        let pixels = (0..images).map(|_| image()).collect();
        masking
            .sample(GRID, &BatchDraw { images: (0..images).collect(), pixels, ..BatchDraw::default() })
            .plans
    }

    #[test]
    fn detail_is_the_variance_of_a_patch() {
        let detail = detail(&image(), GRID);
        // Two pixels of 0.5 and two of 1.
        let rich = |p: usize| p / 4 >= 2 && p % 4 >= 2;
        assert!(
            (0..16).all(|p| (detail[p] - if rich(p) { 0.0625 } else { 0.0 }).abs() < 1e-12),
            "{detail:?}"
        );
    }

    #[test]
    fn targets_lie_on_detail_or_beside_it() {
        let share = |plans: &[MaskPlan]| {
            let rich = |p: &&u32| **p / 4 >= 2 && **p % 4 >= 2;
            let all: Vec<&u32> = plans.iter().flat_map(MaskPlan::targets).flatten().collect();
            all.iter().filter(|p| rich(p)).count() as f64 / all.len() as f64
        };
        let (random, rich, flat) =
            (masks(Hide::Rich, 1, 300), masks(Hide::Rich, 8, 300), masks(Hide::Flat, 8, 300));
        let [random, rich, flat] = [&random, &rich, &flat].map(|plans| share(plans));
        assert!((0.2..0.35).contains(&random), "{random}");
        assert!(rich > 0.7 && flat < 0.05, "{rich} and {flat}");
    }

    #[test]
    fn the_first_candidate_is_the_strategy_itself() {
        let settings = serde_json::json!({ "scale": [0.25, 0.25], "aspect": [1.0, 1.0] });
        let block = Nested::new("block", &settings).unwrap();
        let draw = BatchDraw { images: (0..5).collect(), ..BatchDraw::default() };
        assert_eq!(masks(Hide::Flat, 1, 5), block.object.sample(GRID, &draw).plans);
    }
}
