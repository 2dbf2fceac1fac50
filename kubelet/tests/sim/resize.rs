//! Resources that change in the world.

use keelson_kubelet::model::resources::ContainerChange;
use keelson_kubelet::model::{Done, FailReason, Resources};

use super::Simulation;
use crate::world::World;

impl World {
    /// One that is there is not squeezed.
    pub fn make_cgroup(&mut self, bounds: Resources) {
        self.bounds = match self.cgroup {
            true => self.bounds.most(bounds),
            false => bounds,
        };
        self.cgroup = true;
    }
}

impl Simulation {
    pub(super) fn resize(
        &mut self,
        bounds: Resources,
        containers: &[ContainerChange],
    ) -> Result<Done, FailReason> {
        self.world.bounds = bounds;
        let (mut seen, clock) = (Vec::new(), self.world.clock.clone());
        for one in containers {
            let Some(c) = self.world.container_mut(&one.id).filter(|c| c.runs()) else {
                return Err(FailReason::Resize);
            };
            c.resources = one.change.to;
            seen.push(c.seen(self.now, &clock));
        }
        Ok(Done::Resized { containers: seen })
    }
}
