//! Masking `my_masking`.

use ijepa_registry::prelude::*;

component! {
    // TODO: say in one sentence which patches are seen and which are predicted, then where it comes from.
    /// Random patches are the context, all others one target.
    masking "my_masking" => MyMasking, example = "{ seen: 0.5 }"
}

/// Settings of `masking: { kind: my_masking }`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "ijepa_registry::serde", deny_unknown_fields, default)]
struct MyMasking {
    // TODO: your settings. Each has a sentence, a range and a default.
    /// Share of the patches that is seen.
    #[schemars(range(min = 0.01, max = 0.99))]
    seen: f64,
}

impl Default for MyMasking {
    fn default() -> Self {
        MyMasking { seen: 0.25 }
    }
}

impl MyMasking {
    fn seen(&self, grid: Grid) -> usize {
        (self.seen * grid.len() as f64).round() as usize
    }
}

impl Masking for MyMasking {
    fn check(&self, grid: Grid) -> Vec<Problem> {
        // TODO: every reason why there are no such masks on this grid.
        if (1..grid.len()).contains(&self.seen(grid)) {
            return vec![];
        }
        let sentence = format!("{} of {} patches leaves no context, or no target", self.seen, grid.len());
        vec![Problem::new("seen", sentence)]
    }
    fn sample(&self, grid: Grid, draw: &BatchDraw) -> MaskBatch {
        // TODO: one plan per image: sorted patch numbers, row by row. All randomness comes from the stream.
        let plan = |image| {
            let mut patches: Vec<u32> = (0..grid.len() as u32).collect();
            draw.image_stream(image).shuffle(&mut patches);
            let (context, target) = patches.split_at_mut(self.seen(grid));
            context.sort_unstable();
            target.sort_unstable();
            MaskPlan::new(context.to_vec(), vec![target.to_vec()])
        };
        MaskBatch { plans: (0..draw.images.len()).map(plan).collect(), redraws: 0 }
    }
}
