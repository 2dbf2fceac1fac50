//! `ImageLocality`: rather nodes that hold the pod's images, by size, and less so for images that
//! few nodes hold, so that pods do not crowd there.

use crate::cluster::Host;
use crate::framework::{Cycle, MAX_SCORE, NodeScore, Score};
use crate::intern::Word;

const MIB: i64 = 1024 * 1024;
const LEAST: i64 = 23 * MIB;
const MOST_PER_CONTAINER: i64 = 1000 * MIB;

/// The plugin.
#[derive(Debug)]
pub struct ImageLocality;

impl Score for ImageLocality {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        let images = &cycle.pod.class.images;
        let cluster = cycle.cluster;
        let spread = images.iter().map(|image| {
            let nodes = cluster.nodes_with_image(image);
            (image, share(nodes, cluster.len()))
        });
        let spread: Vec<_> = spread.filter(|(_, share)| *share > 0.0).collect();
        // Nobody has any of them: all nodes are equal.
        if spread.is_empty() {
            return None;
        }
        let containers = i64::try_from(images.len()).unwrap_or(1);
        Some(Box::new(Held { spread, containers }))
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
fn share(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}

struct Held<'c> {
    spread: Vec<(&'c Word, f64)>,
    containers: i64,
}

impl NodeScore for Held<'_> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "sizes of images are far below 2^53"
    )]
    fn score(&self, host: &Host) -> i64 {
        let held = &host.node().images;
        let mut sum = 0;
        for (image, share) in &self.spread {
            if let Some((_, size)) = held.iter().find(|(name, _)| name == *image) {
                sum += (*size as f64 * share) as i64;
            }
        }
        let most = MOST_PER_CONTAINER * self.containers;
        MAX_SCORE * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
    }
}
