//! Several strategies side by side.

use ijepa_registry::prelude::*;

use super::shared::nested::Nested;

/// Settings of `kind: multi`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Multi {
    /// The strategies, each with its settings.
    of: Vec<Nested>,
    /// Which of them an image gets.
    #[serde(default)]
    per_image: PerImage,
}

/// Which strategies an image gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PerImage {
    /// All of them: a view from each, and the teacher encodes the image once.
    #[default]
    All,
    /// One, at random with equal chances, anew in every epoch.
    One,
}

component! {
    /// Masks of several strategies in one batch: a view of every image from each, or one of them at random.
    ///
    /// V-JEPA predicts every clip from two masks, eight small blocks and two large ones, and averages their losses
    /// (Bardes et al. 2024, arXiv 2404.08471): `of: [{ kind: complement }, { kind: complement, blocks: 2, scale:
    /// [0.7, 0.7] }]`. The loss is a mean over predicted patches, so that a view counts by how many it has.
    masking "multi" => Multi,
    example = "{ of: [{ kind: block }, { kind: random, ratio: [0.5, 0.5] }] }",
    aliases = ["mixture" => "{ kind: multi, of: [{ kind: block }, { kind: random }] }",
        "multi_mask" => "{ kind: multi, of: [{ kind: block }, { kind: random }] }"]
}

/// Strategies at most: no more than a view can be told apart by.
const MOST: usize = 16;

impl Multi {
    /// The masks that every strategy draws for the whole batch: strategy `i` on streams of its own.
    fn drawn(&self, grid: Grid, draw: &BatchDraw) -> Vec<MaskBatch> {
        let own = |i: usize| Nested::own_draw(draw, i, self.of.len());
        self.of.iter().enumerate().map(|(i, one)| one.object.sample(grid, &own(i))).collect()
    }
}

impl Masking for Multi {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        if !(1..=MOST).contains(&self.of.len()) {
            return vec![Problem::new(
                "of",
                format!("lists {} strategies; 1 to {MOST} are allowed", self.of.len()),
            )];
        }
        let all = self.of.iter().enumerate();
        all.flat_map(|(i, one)| one.check(grid, &format!("of.{i}"))).collect()
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        let drawn = self.drawn(grid, draw);
        let redraws = drawn.iter().map(|batch| batch.redraws).sum();
        let plan = |i: usize| match self.per_image {
            PerImage::All => {
                MaskPlan { views: drawn.iter().flat_map(|batch| batch.plans[i].views.clone()).collect() }
            }
            PerImage::One => drawn[draw.choice_stream(i).below(drawn.len())].plans[i].clone(),
        };
        MaskBatch { plans: (0..draw.images.len()).map(plan).collect(), redraws }
    }
    fn allows_overlap(&self) -> bool {
        self.of.iter().any(|one| one.object.allows_overlap())
    }
    fn min_context(&self) -> usize {
        self.of.iter().map(|one| one.object.min_context()).min().unwrap_or(1)
    }
    fn follows_progress(&self) -> bool {
        self.of.iter().any(|one| one.object.follows_progress())
    }
    fn sees_images(&self) -> bool {
        self.of.iter().any(|one| one.object.sees_images())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { rows: 8, cols: 8 };

    fn multi(per_image: PerImage) -> Multi {
        let settings = serde_json::json!({ "ratio": [0.5, 0.5] });
        let of = vec![
            Nested::new("rasterized", &serde_json::json!({})).unwrap(),
            Nested::new("random", &settings).unwrap(),
        ];
        Multi { of, per_image }
    }

    fn draw(repeat: u64) -> BatchDraw {
        BatchDraw { images: (0..400).collect(), repeat, ..BatchDraw::default() }
    }

    #[test]
    fn an_image_has_a_view_from_each_or_from_one() {
        let all = multi(PerImage::All).sample(GRID, &draw(0));
        let targets = |plan: &MaskPlan| plan.views.iter().map(|v| v.targets.len()).collect::<Vec<_>>();
        assert!(all.plans.iter().all(|plan| targets(plan) == [3, 1]));
        let one = multi(PerImage::One).sample(GRID, &draw(0));
        let quarters = one.plans.iter().filter(|plan| targets(plan) == [3]).count();
        assert!(
            (150..250).contains(&quarters) && one.plans.iter().all(|plan| plan.views.len() == 1),
            "{quarters}"
        );
    }

    #[test]
    fn strategies_and_draws_have_streams_of_their_own() {
        let twice = Multi {
            of: vec![multi(PerImage::All).of.remove(1), multi(PerImage::All).of.remove(1)],
            per_image: PerImage::All,
        };
        let batches = [twice.sample(GRID, &draw(0)), twice.sample(GRID, &draw(1))];
        let mut contexts: Vec<&Vec<u32>> =
            batches.iter().flat_map(|b| &b.plans[0].views).map(|view| &view.context).collect();
        contexts.sort();
        contexts.dedup();
        assert_eq!(contexts.len(), 4, "four different masks of the first image");
    }

    #[test]
    fn problems_name_the_strategy() {
        let wrong = Multi {
            of: vec![Nested::new("random", &serde_json::json!({ "ratio": [0.6, 0.4] })).unwrap()],
            per_image: PerImage::One,
        };
        assert_eq!(wrong.check(GRID)[0].path, "of.0.ratio");
        assert_eq!(Multi { of: vec![], per_image: PerImage::One }.check(GRID)[0].path, "of");
    }
}
