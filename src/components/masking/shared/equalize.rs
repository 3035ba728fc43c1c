//! All masks of a batch at one length.

use ijepa_registry::prelude::*;

use super::rejection::Crossed;

/// How the masks of a batch are brought to one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cut {
    /// They are not: every mask stays as drawn.
    None,
    /// All are cut to the shortest, keeping the first patches in row-major order, as in Meta's
    /// I-JEPA code: lower rows are seen less, the more so the larger the batch.
    Raster,
    /// All are cut to the shortest, keeping a random subset.
    Random,
}

/// Cuts contexts to the shortest context of the batch, targets to the shortest target. `streams`
/// holds one random stream per plan.
pub(crate) fn equalize(cut: Cut, plans: &mut [Crossed], streams: &mut [Stream]) {
    let shortest = |of: fn(&Crossed) -> &Vec<Vec<u32>>| plans.iter().flat_map(of).map(Vec::len).min();
    let (Some(context), Some(target)) = (shortest(|p| &p.contexts), shortest(|p| &p.targets)) else { return };
    for (plan, stream) in plans.iter_mut().zip(streams) {
        plan.contexts.iter_mut().for_each(|patches| shorten(cut, patches, context, stream));
        plan.targets.iter_mut().for_each(|patches| shorten(cut, patches, target, stream));
    }
}

fn shorten(cut: Cut, patches: &mut Vec<u32>, length: usize, stream: &mut Stream) {
    match cut {
        Cut::None => {}
        Cut::Raster => patches.truncate(length),
        Cut::Random => {
            stream.shuffle(patches);
            patches.truncate(length);
            patches.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raster_keeps_the_first_patches_and_random_any() {
        let plan = |n: u32| Crossed { contexts: vec![(0..n).collect()], targets: vec![(0..2).collect()] };
        let cut = |how| {
            let (mut plans, mut streams) = ([plan(9), plan(4)], [0, 1].map(|i| Stream::new(0, "test", 0, i)));
            equalize(how, &mut plans, &mut streams);
            plans[0].contexts[0].clone()
        };
        assert_eq!(cut(Cut::None).len(), 9);
        assert_eq!(cut(Cut::Raster), [0, 1, 2, 3]);
        let random = cut(Cut::Random);
        assert!(random.len() == 4 && random.is_sorted() && random != [0, 1, 2, 3], "{random:?}");
    }
}
