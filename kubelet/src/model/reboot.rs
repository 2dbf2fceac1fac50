//! What of a pod's memory still holds after the machine was booted anew. Pure.

use super::memory::{Backoff, ContainerMemory, Life, PodMemory};
use super::time::{Mono, Now};

impl PodMemory {
    /// Brings memory from before a boot to the new clock: delays, probes and kills under way are
    /// over, times of transition, counts and outcomes stay.
    pub fn after_reboot(&mut self, now: Now) {
        if let Some(start) = self.start_time {
            let active = now.wall.duration_since(start);
            self.active_before = active.try_into().unwrap_or_default();
        }
        self.started = self.started.map(|_| now.mono);
        if let Life::Terminating(termination) = &mut self.life {
            termination.since = now.mono;
        }
        self.retries.clear();
        self.cgroup = None;
        self.in_flight.clear();
        self.containers
            .values_mut()
            .for_each(|mem| mem.after_reboot(now.mono));
    }
}

impl ContainerMemory {
    fn after_reboot(&mut self, now: Mono) {
        self.crash_backoff = Backoff::default();
        self.start_retry = Backoff::default();
        self.image.backoff = Backoff::default();
        self.image.ready = None;
        self.probes.clear();
        self.running_since = None;
        self.kill = None;
        if let Some(ended) = &mut self.ended {
            ended.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::memory::ProbeMemory;
    use super::super::{ProbeKind, Termination};
    use super::*;

    #[test]
    fn delays_end_and_the_active_deadline_goes_on() {
        let mut memory = PodMemory {
            start_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            started: Some(Mono(900_000_000)),
            life: Life::Terminating(Termination {
                since: Mono(950_000_000),
                grace: Duration::from_secs(30),
                failed: None,
                object_stays: false,
            }),
            ..PodMemory::default()
        };
        let mut c = ContainerMemory {
            restarts: 4,
            ..ContainerMemory::default()
        };
        c.crash_backoff = Backoff {
            delay: Duration::from_secs(40),
            until: Mono(960_000_000),
        };
        c.probes
            .insert(ProbeKind::Readiness, ProbeMemory::default());
        memory.containers.insert("a".into(), c);
        let wall = "2026-01-01T01:00:00Z".parse().unwrap();
        memory.after_reboot(Now {
            mono: Mono(5_000),
            wall,
        });
        assert_eq!(memory.active_before, Duration::from_secs(3600));
        assert_eq!(memory.started, Some(Mono(5_000)));
        let Life::Terminating(termination) = &memory.life else {
            panic!("{:?}", memory.life)
        };
        assert_eq!(termination.since, Mono(5_000));
        let c = &memory.containers["a"];
        assert_eq!((c.restarts, c.crash_backoff), (4, Backoff::default()));
        assert!(c.probes.is_empty());
    }
}
