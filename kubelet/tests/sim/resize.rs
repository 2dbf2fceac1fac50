//! Resources that change in the world.

use keelson_kubelet::model::resources::ContainerChange;
use keelson_kubelet::model::{Done, FailReason, Resources};

use super::Simulation;

impl Simulation {
    /// One that is there is not squeezed.
    pub(super) fn make_cgroup(&mut self, number: u64) -> Done {
        let call = self.calls.get(&number);
        let bounds = call.map_or(Resources::default(), |call| call.resources);
        self.world.bounds = match self.world.cgroup {
            true => self.world.bounds.most(bounds),
            false => bounds,
        };
        self.world.cgroup = true;
        Done::Cgroup
    }

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
