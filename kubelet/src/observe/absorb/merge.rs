//! Merging what is seen of sandboxes and containers, and accounting starts and ends.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::desired::Role;
use crate::model::memory::{ContainerMemory, Ended, LastTermination};
use crate::model::{ContainerState, Life, ObservedContainer, ObservedSandbox};
use crate::reconcile::Note;
use crate::reconcile::restart_backoff::{on_exit, on_restart, restarts_after, waits};

use super::Intake;

/// Exit code shown for a container that the runtime forgot.
const FORGOTTEN: i32 = 137;

impl Intake<'_> {
    pub(super) fn see_sandbox(&mut self, mut new: ObservedSandbox) {
        if self.observed.removed.contains_key(&new.id) {
            return;
        }
        let Some(old) = self.observed.sandboxes.iter_mut().find(|s| s.id == new.id) else {
            self.observed.sandboxes.push(new);
            self.observed
                .sandboxes
                .sort_by_key(|s| (s.attempt, s.created_at));
            return;
        };
        if new.seen >= old.seen {
            if new.ips.is_empty() {
                new.ips = std::mem::take(&mut old.ips);
            }
            *old = new;
        }
    }

    pub(super) fn see_container(&mut self, new: ObservedContainer) {
        if self.observed.removed.contains_key(&new.id) {
            return;
        }
        let (name, id) = (new.name.clone(), new.id.clone());
        let ended = new.state == ContainerState::Exited;
        match self.observed.containers.iter_mut().find(|c| c.id == id) {
            Some(old) => merge_container(old, new),
            None => {
                self.observed.containers.push(new);
                self.observed.containers.sort_by(|a, b| {
                    (&a.name, a.attempt, a.created_at).cmp(&(&b.name, b.attempt, b.created_at))
                });
            }
        }
        self.account(&name);
        if ended {
            self.correct_last(&name);
        }
    }

    pub(super) fn bury_sandbox(&mut self, id: &Arc<str>) {
        let inside = self
            .observed
            .containers
            .iter()
            .filter(|c| c.sandbox_id == *id);
        let inside: Vec<Arc<str>> = inside.map(|c| c.id.clone()).collect();
        inside.iter().for_each(|id| self.bury_container(id));
        self.observed.sandboxes.retain(|s| s.id != *id);
        self.observed.removed.insert(id.clone(), self.now.mono);
        self.memory.stopped.remove(id);
    }

    pub(super) fn bury_container(&mut self, id: &Arc<str>) {
        self.observed.containers.retain(|c| c.id != *id);
        self.observed.removed.insert(id.clone(), self.now.mono);
        self.account_vanished();
    }

    /// A process has ended, and what starts in its place at once need not wait until the runtime has
    /// cleaned up. All else does: only the runtime's state tells why it ended and its last words.
    pub(super) fn exited(&mut self, id: &Arc<str>, exit_code: i32, at: Timestamp) {
        let mut all = self.observed.containers.iter_mut();
        let running = all.find(|c| c.id == *id && c.state == ContainerState::Running);
        let Some(ended) = running else { return };
        let (spec, mem) = (
            self.spec.container(&ended.name),
            self.memory.containers.get(&ended.name),
        );
        let at_once = |mem: &ContainerMemory| {
            mem.current_id.as_ref() == Some(id)
                && mem.kill.is_none()
                && waits(mem, self.now.mono, self.policy).is_zero()
        };
        let again = spec.is_some_and(|c| c.role != Role::Init && restarts_after(c, exit_code));
        if self.memory.life != Life::Wanted || !again || !mem.is_some_and(at_once) {
            return;
        }
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        ended.state = ContainerState::Exited;
        ended.exit_code = exit_code;
        ended.finished_at = Some(at);
        ended.reason = reason.to_owned();
        ended.seen = self.now.mono;
        let name = ended.name.clone();
        self.account(&name);
    }

    /// What is known by now of the instance before the current one.
    fn correct_last(&mut self, name: &Arc<str>) {
        let last = self.memory.container(name).last.as_mut();
        let Some(last) = last else { return };
        let mut all = self.observed.containers.iter();
        let same = all.find(|c| c.id == last.id && c.state == ContainerState::Exited);
        if let Some(ended) = same {
            *last = termination_of(ended);
        }
    }

    /// Brings the memory of a container's name up to date with what is observed of it.
    fn account(&mut self, name: &Arc<str>) {
        let observed = &*self.observed;
        let of_name = || observed.containers.iter().filter(|c| c.name == *name);
        let mem = self.memory.container(name);
        let killed = mem.kill.as_ref().map(|kill| kill.id.clone());
        if of_name().any(|c| Some(&c.id) == killed.as_ref() && c.state == ContainerState::Exited) {
            mem.kill = None;
        }
        let begun = of_name().filter(|c| c.state != ContainerState::Created);
        let Some(newest) = begun.max_by_key(|c| (c.attempt, c.created_at)).cloned() else {
            return;
        };
        if mem.current_id.as_ref() != Some(&newest.id) {
            if mem.current_id.is_some() && newest.attempt < mem.restarts {
                return;
            }
            let before = of_name()
                .rfind(|c| c.state == ContainerState::Exited && c.attempt < newest.attempt);
            let before = before.map(termination_of);
            self.adopt(&newest, before);
        }
        self.account_current(&newest);
    }

    /// A container of a name is there that memory does not know yet.
    fn adopt(&mut self, newest: &ObservedContainer, before: Option<LastTermination>) {
        let policy = self.policy;
        let mem = self.memory.container(&newest.name);
        if mem
            .ended
            .as_ref()
            .is_some_and(|ended| !mem.respawn && ended.how.exit_code != 0)
            || (mem.ended.is_some() && !mem.respawn && mem.completed_in.is_none())
        {
            on_restart(mem, policy);
        }
        mem.last = mem
            .ended
            .take()
            .map(|ended| ended.how)
            .or(before)
            .or(mem.last.take());
        mem.restarts = newest.attempt;
        mem.current_id = Some(newest.id.clone());
        mem.probes.clear();
        mem.post_start = None;
        mem.running_since = None;
        mem.respawn = false;
        mem.kill = mem.kill.take().filter(|kill| kill.id == newest.id);
    }

    fn account_current(&mut self, newest: &ObservedContainer) {
        let (now, policy) = (self.now.mono, self.policy);
        let spec = self.spec.container(&newest.name);
        let mem = self.memory.container(&newest.name);
        if newest.state == ContainerState::Running {
            mem.running_since.get_or_insert(now);
        }
        if newest.state != ContainerState::Exited {
            return;
        }
        let how = termination_of(newest);
        if let Some(ended) = &mut mem.ended {
            ended.how = how;
            return;
        }
        mem.ended = Some(Ended { at: now, how });
        if spec.is_some_and(|c| c.role == Role::Init) && newest.exit_code == 0 {
            mem.completed_in = Some(newest.sandbox_id.clone());
        }
        on_exit(mem, now, policy);
        let again = spec.is_some_and(|c| restarts_after(c, newest.exit_code));
        let until = mem.crash_backoff.until;
        if again && until > now && self.memory.life == Life::Wanted {
            let message = format!(
                "Back-off restarting failed container {} in pod {}",
                newest.name,
                self.spec.full_name()
            );
            self.notes.push(
                Note::of("BackOff", &newest.name, message)
                    .warn()
                    .next_at(until),
            );
        }
    }

    /// Containers that memory calls current and that exist no more have ended, nobody knows how.
    pub(super) fn account_vanished(&mut self) {
        let (now, policy, observed) = (self.now.mono, self.policy, &*self.observed);
        let exists = |id: &Arc<str>| observed.containers.iter().any(|c| c.id == *id);
        for mem in self.memory.containers.values_mut() {
            if mem.kill.as_ref().is_some_and(|kill| !exists(&kill.id)) {
                mem.kill = None;
            }
            if let Some(id) = mem.current_id.clone().filter(|id| !exists(id)) {
                forget(mem, id, now, policy);
            }
        }
    }
}

fn forget(
    mem: &mut ContainerMemory,
    id: Arc<str>,
    now: crate::model::Mono,
    policy: &crate::reconcile::Policy,
) {
    if mem.ended.is_some() {
        return;
    }
    let how = LastTermination {
        id,
        exit_code: FORGOTTEN,
        reason: "ContainerStatusUnknown".to_owned(),
        message: "the container is gone and nobody saw how it ended".to_owned(),
        started_at: None,
        finished_at: None,
    };
    mem.ended = Some(Ended { at: now, how });
    on_exit(mem, now, policy);
}

fn termination_of(c: &ObservedContainer) -> LastTermination {
    LastTermination {
        id: c.id.clone(),
        exit_code: c.exit_code,
        reason: c.reason.clone(),
        message: c.message.clone(),
        started_at: c.started_at,
        finished_at: c.finished_at,
    }
}

/// Newer news wins, but a state does not move back and what was known is not lost.
fn merge_container(old: &mut ObservedContainer, mut new: ObservedContainer) {
    if new.state < old.state || (new.state == old.state && new.seen < old.seen) {
        old.seen = old.seen.max(new.seen);
        return;
    }
    if new.state == old.state {
        let keep = |new: &mut String, old: &mut String| {
            if new.is_empty() {
                std::mem::swap(new, old);
            }
        };
        keep(&mut new.message, &mut old.message);
        keep(&mut new.reason, &mut old.reason);
    }
    new.started_at = new.started_at.or(old.started_at);
    new.finished_at = new.finished_at.or(old.finished_at);
    new.user = new.user.or_else(|| old.user.take());
    if new.sandbox_id.is_empty() {
        new.sandbox_id = old.sandbox_id.clone();
    }
    new.limits = new.limits.or(old.limits);
    new.seen = new.seen.max(old.seen);
    *old = new;
}
