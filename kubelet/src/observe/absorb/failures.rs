//! What a failed action leaves behind: the delay before the next attempt and what is told.

use std::sync::Arc;

use crate::model::memory::RetryOf;
use crate::model::{Action, FailReason};
use crate::reconcile::Note;

use super::Intake;

impl Intake<'_> {
    pub(super) fn failed(&mut self, action: &Action, reason: FailReason, message: String) {
        match action {
            Action::SetUpCgroup => {
                self.retry(RetryOf::Cgroup, "FailedCreatePodContainer", reason, message);
            }
            Action::Resize { .. } => self.resize_failed(reason, message),
            Action::SetUpVolumes => self.retry(RetryOf::Volumes, "FailedMount", reason, message),
            Action::CreateSandbox { .. } => {
                self.retry(RetryOf::Sandbox, "FailedCreatePodSandBox", reason, message);
            }
            Action::TearDown { .. } => {
                self.retry(RetryOf::CleanUp, "FailedTearDown", reason, message);
            }
            Action::StopSandbox { .. }
            | Action::RemoveSandbox { .. }
            | Action::KillContainer { .. }
            | Action::RemoveContainer { .. } => {
                self.retry(RetryOf::CleanUp, "FailedKillPod", reason, message);
            }
            Action::EnsureImage { container } => self.image_failed(container, reason, message),
            Action::StartContainer { container, .. } => {
                self.start_failed(container, reason, message);
            }
            Action::RunPostStart { container, id } => {
                self.hook_failed(container, id, reason, message);
            }
            Action::RunProbe { .. } | Action::Cancel(_) => {}
        }
    }

    fn retry(&mut self, of: RetryOf, event: &'static str, reason: FailReason, message: String) {
        let (now, policy) = (self.now.mono, self.policy);
        let retry = self.memory.retries.entry(of).or_default();
        if reason == FailReason::RuntimeUnavailable {
            retry.backoff.pause(now, policy.retry_initial);
            if retry.message == message {
                return;
            }
        } else {
            retry
                .backoff
                .fail(now, policy.retry_initial, policy.retry_max);
        }
        retry.message.clone_from(&message);
        let next = retry.backoff.until;
        self.notes
            .push(Note::of_pod(event, message).warn().next_at(next));
    }

    /// Said once per cause; tried again for as long as it is wanted.
    fn resize_failed(&mut self, reason: FailReason, message: String) {
        let (now, policy) = (self.now.mono, self.policy);
        let retry = self.memory.retries.entry(RetryOf::Resize).or_default();
        retry.message.clone_from(&message);
        let backoff = &mut retry.backoff;
        if reason == FailReason::RuntimeUnavailable {
            backoff.pause(now, policy.retry_initial);
            return;
        }
        backoff.fail(now, policy.retry_initial, policy.retry_max);
        let next = backoff.until;
        let Some(progress) = &mut self.memory.resize.progress else {
            return;
        };
        if progress.error.as_ref() != Some(&message) {
            let text = format!(
                "Pod resize error: {},\"error\":{message:?}}}",
                progress.about
            );
            progress.error = Some(message);
            self.notes
                .push(Note::of_pod("ResizeError", text).warn().next_at(next));
        }
    }

    fn image_failed(&mut self, container: &Arc<str>, reason: FailReason, message: String) {
        let (now, policy) = (self.now.mono, self.policy);
        let image = &mut self.memory.container(container).image;
        if reason == FailReason::RuntimeUnavailable {
            image.backoff.pause(now, policy.retry_initial);
            return;
        }
        image
            .backoff
            .fail(now, policy.image_backoff_initial, policy.image_backoff_max);
        let until = image.backoff.until;
        let text = format!("Failed to pull image {:?}: {message}", image.of);
        image.error = Some((api_reason(reason).to_owned(), message));
        self.notes
            .push(Note::of("Failed", container, text).warn().next_at(until));
    }

    fn start_failed(&mut self, container: &Arc<str>, reason: FailReason, message: String) {
        let (now, policy) = (self.now.mono, self.policy);
        let mem = self.memory.container(container);
        if reason == FailReason::RuntimeUnavailable {
            mem.start_retry.pause(now, policy.retry_initial);
            return;
        }
        mem.start_retry
            .fail(now, policy.retry_initial, policy.retry_max);
        let until = mem.start_retry.until;
        let text = format!("Error: {message}");
        mem.start_error = Some((api_reason(reason).to_owned(), message));
        self.notes
            .push(Note::of("Failed", container, text).warn().next_at(until));
    }

    fn hook_failed(
        &mut self,
        container: &Arc<str>,
        id: &Arc<str>,
        reason: FailReason,
        message: String,
    ) {
        let (now, policy) = (self.now.mono, self.policy);
        let mem = self.memory.container(container);
        if mem.current_id.as_ref() != Some(id) {
            return;
        }
        if reason == FailReason::RuntimeUnavailable {
            mem.start_retry.pause(now, policy.retry_initial);
            return;
        }
        mem.post_start = Some(false);
        mem.start_error = Some(("PostStartHookError".to_owned(), message.clone()));
        self.notes
            .push(Note::of("FailedPostStartHook", container, message).warn());
    }
}

/// The word of a container's `state.waiting.reason` for a failure.
fn api_reason(reason: FailReason) -> &'static str {
    match reason {
        FailReason::ErrImagePull => "ErrImagePull",
        FailReason::ErrImageNeverPull => "ErrImageNeverPull",
        FailReason::InvalidImageName => "InvalidImageName",
        FailReason::CreateContainerConfigError => "CreateContainerConfigError",
        FailReason::CreateContainerError => "CreateContainerError",
        FailReason::PostStartHook => "PostStartHookError",
        _ => "RunContainerError",
    }
}
