//! One container: its image, its creation and start, its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use keelson_cri::CriError;
use keelson_cri::config::{AuthConfig, ImageSpec};
use keelson_cri::error::PullFailure;
use keelson_cri::values::Image;
use tokio::time::Instant;

use super::user_namespace::map_owners;
use super::{Executor, Failure, Job, manifest_container};
use crate::journal::{Kind, PodKey};
use crate::logs::files::{place_link, remove_linked};
use crate::logs::layout::LogOwner;
use crate::metrics::names;
use crate::metrics::record::{self, measured};
use crate::model::desired::PullPolicy;
use crate::model::{Action, ContainerSpec, Done, Event, FailReason, PodOrigin};
use crate::observe::{clock, listing, termination};
use crate::spec::pull_credentials::{Credential, fitting};
use crate::spec::security::ImageUser;
use crate::spec::{ContainerInputs, container_config, sandbox_config};

/// After a preStop hook a container gets at least this long for its stop signal.
const LEAST_AFTER_HOOK: Duration = Duration::from_secs(2);

pub(super) fn image_spec(image: &str) -> ImageSpec {
    ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    }
}

impl Executor {
    pub(super) async fn ensure_image(&self, job: &Job, name: &Arc<str>) -> Result<Event, Failure> {
        let wanted = container_spec(job, name)?;
        let present = match wanted.pull_policy {
            PullPolicy::Always => None,
            _ => self.image(&wanted.image).await?,
        };
        let image_ref = match (present, wanted.pull_policy) {
            (Some(image), _) => {
                let text = format!(
                    "Container image \"{}\" already present on machine",
                    wanted.image
                );
                self.tell_normal(job, name, "Pulled", &text);
                image.id
            }
            (None, PullPolicy::Never) => {
                let text = format!(
                    "Container image \"{}\" is not present with pull policy of Never",
                    wanted.image
                );
                return Err(Failure::new(FailReason::ErrImageNeverPull, text));
            }
            (None, _) => self.pull(job, name, &wanted.image).await?,
        };
        Ok(Event::Done(Done::Image {
            container: name.clone(),
            image_ref: image_ref.into(),
        }))
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let found = measured("image_status", self.cri.image_status(image_spec(name))).await;
        found.map_err(|error| Failure::call(FailReason::ErrImagePull, &error))
    }

    async fn pull(&self, job: &Job, name: &str, image: &str) -> Result<String, Failure> {
        let text = format!("Pulling image \"{image}\"");
        self.tell_normal(job, name, "Pulling", &text);
        let credentials = self.pull_credentials(job, image).await;
        let began = Instant::now();
        let pulled = {
            let _turn = self.pulls.acquire().await;
            self.pull_with(image, credentials).await
        };
        match pulled {
            Ok(image_ref) => {
                let took = began.elapsed();
                let size = self.image(&image_ref).await.ok().flatten();
                let size = size.map_or(0, |image| image.size);
                let class = [record::image_size_class(size)];
                names::IMAGE_PULL_DURATION_SECONDS.observe_duration(&class, took);
                let took = took.as_secs_f64();
                let text = format!(
                    "Successfully pulled image \"{image}\" in {took:.3}s. Image size: {size} bytes."
                );
                self.tell_normal(job, name, "Pulled", &text);
                Ok(image_ref)
            }
            Err(error) => {
                let reason = match &error {
                    CriError::ImagePull {
                        failure: PullFailure::InvalidName,
                        ..
                    } => FailReason::InvalidImageName,
                    _ => FailReason::ErrImagePull,
                };
                Err(Failure::call(reason, &error))
            }
        }
    }

    /// Pulls with the first credential that the registry takes; without any where there is none.
    async fn pull_with(
        &self,
        image: &str,
        credentials: Vec<Credential>,
    ) -> Result<String, CriError> {
        let auth = credentials.into_iter().map(|credential| AuthConfig {
            username: credential.username,
            password: credential.password,
            ..AuthConfig::default()
        });
        let mut attempts: Vec<Option<AuthConfig>> = auth.map(Some).collect();
        let last = attempts.pop().flatten();
        for auth in attempts {
            let call = self.cri.pull_image(image_spec(image), auth, None);
            if let Ok(image_ref) = measured("pull_image", call).await {
                return Ok(image_ref);
            }
        }
        let call = self.cri.pull_image(image_spec(image), last, None);
        measured("pull_image", call).await
    }

    /// What the pod's `imagePullSecrets` hold for the image, and what programs know of it.
    async fn pull_credentials(&self, job: &Job, image: &str) -> Vec<Credential> {
        let mut credentials = self.secret_credentials(job, image).await;
        let (more, wrong) = self.credential_plugins.credentials(image).await;
        credentials.extend(more);
        for error in wrong {
            self.tell(job, "FailedToGetImageCredentials", &error.to_string());
        }
        credentials
    }

    async fn secret_credentials(&self, job: &Job, image: &str) -> Vec<Credential> {
        let (Some(source), PodOrigin::Api) = (&self.objects, &job.origin) else {
            return Vec::new();
        };
        let (secrets, missing) = source.pull_secrets(&job.pod).await;
        if !missing.is_empty() {
            let text = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.tell(job, "FailedToRetrieveImagePullSecret", &text);
        }
        fitting(&secrets, image)
    }

    pub(super) async fn start_container(&self, job: &Job) -> Result<Event, Failure> {
        let Action::StartContainer {
            container: name,
            attempt,
            sandbox,
            image_ref,
        } = &job.action
        else {
            return Err(Failure::new(FailReason::RunContainerError, "not a start"));
        };
        let spec = container_spec(job, name)?;
        let fail = |reason| move |error: CriError| Failure::call(reason, &error);
        let config_error =
            |message: String| Failure::new(FailReason::CreateContainerConfigError, message);
        let container = manifest_container(&job.pod, name)
            .ok_or_else(|| config_error(format!("container {name} is not in the pod")))?;
        let user = self.image_user(&job.pod, &container, image_ref).await?;
        let ids = self
            .ids(job, FailReason::CreateContainerConfigError)
            .await?;
        let confinement = self.node.confinement.with_ids(ids);
        let mounts = self.mounts(job, &container, *attempt).await;
        let mut mounts = mounts.map_err(config_error)?;
        map_owners(&mut mounts, &confinement.id_mappings());
        let inputs = ContainerInputs {
            attempt: *attempt,
            hash: spec.hash,
            image_ref,
            image_user: &user,
            mounts,
            facts: &self.downward(job),
            limits: &self.node.limits,
            confinement: &confinement,
            target: target(job, name),
        };
        let config = container_config(&job.pod, &container, &inputs)
            .map_err(|error| config_error(error.to_string()))?;
        let sandbox_config = sandbox_config(&job.pod, &self.sandbox_inputs(&job.pod, 0, ids)?);
        let since = clock::mono();
        let id = {
            let _turn = self.starts.acquire().await;
            let call = self.cri.create_container(sandbox, config, sandbox_config);
            let id = measured("create_container", call).await;
            let id = id.map_err(fail(FailReason::CreateContainerError))?;
            self.tell_normal(job, name, "Created", &format!("Created container {name}"));
            let started = measured("start_container", self.cri.start_container(&id)).await;
            // It exists, whatever became of its start.
            started.map_err(|e| fail(FailReason::RunContainerError)(e).and_look())?;
            id
        };
        self.link_log(job, name, *attempt, &id);
        let status = measured("container_status", self.cri.container_status(&id)).await;
        let status = status.map_err(|e| fail(FailReason::RunContainerError)(e).and_look())?;
        let started = listing::container(&status, sandbox, since);
        let started = termination::with_last_words(&self.node, job.uid.as_str(), started, &status);
        Ok(Event::Done(Done::Started(started)))
    }

    /// The image's own user: asked for only where `runAsNonRoot` must be checked against it. Else
    /// the runtime applies it by itself.
    async fn image_user(
        &self,
        pod: &Pod,
        container: &Container,
        image_ref: &str,
    ) -> Result<ImageUser, Failure> {
        let pod_wide = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
        let own = container.security_context.as_ref();
        let checked = own
            .and_then(|s| s.run_as_non_root)
            .or(pod_wide.and_then(|s| s.run_as_non_root));
        if checked != Some(true) {
            return Ok(ImageUser::default());
        }
        let image = self.image(image_ref).await?;
        Ok(image.map_or_else(ImageUser::default, |image| ImageUser {
            uid: image.uid,
            username: image.username,
        }))
    }

    pub(super) fn log_dir(&self, job: &Job) -> PathBuf {
        owner(job).pod_directory(&self.node.log_root)
    }

    fn link_log(&self, job: &Job, name: &str, attempt: u32, id: &str) {
        let owner = owner(job);
        let log = owner.log_file(&self.node.log_root, name, attempt);
        let link = self.node.log_links.join(owner.link_name(name, id));
        if let Err(error) = place_link(&link, &log) {
            self.tell(job, "FailedLogLink", &error.to_string());
        }
    }

    pub(super) async fn kill_container(&self, job: &Job) -> Result<Event, Failure> {
        let Action::KillContainer {
            container: name,
            id,
            grace,
            pre_stop,
            ..
        } = &job.action
        else {
            return Err(Failure::new(FailReason::KillContainer, "not a kill"));
        };
        let fail = |error: CriError| Failure::call(FailReason::KillContainer, &error);
        let gone = || {
            Event::Done(Done::ContainerRemoved {
                container: name.clone(),
                id: id.clone(),
            })
        };
        let mut left = *grace;
        if *pre_stop && !grace.is_zero() {
            let began = Instant::now();
            self.pre_stop(job, name, id, *grace).await;
            left = grace.saturating_sub(began.elapsed()).max(LEAST_AFTER_HOOK);
        }
        match measured("stop_container", self.cri.stop_container(id, left)).await {
            Err(error) if error.is_not_found() => return Ok(gone()),
            stopped => stopped.map_err(fail)?,
        }
        match measured("container_status", self.cri.container_status(id)).await {
            Err(error) if error.is_not_found() => Ok(gone()),
            status => {
                let status = status.map_err(|e| fail(e).and_look())?;
                let ended = listing::container(&status, "", clock::mono());
                let (node, uid) = (&self.node, job.uid.as_str());
                let ended = termination::with_last_words(node, uid, ended, &status);
                Ok(Event::Done(Done::Killed(ended)))
            }
        }
    }

    pub(super) async fn remove_container(
        &self,
        job: &Job,
        name: &Arc<str>,
        id: &Arc<str>,
    ) -> Result<Event, Failure> {
        match measured("remove_container", self.cri.remove_container(id)).await {
            Err(error) if !error.is_not_found() => {
                return Err(Failure::call(FailReason::RemoveContainer, &error));
            }
            _ => {}
        }
        // Its log goes with it: a container that crashes for a year leaves no year of logs.
        let link = self.node.log_links.join(owner(job).link_name(name, id));
        if let Err(error) = remove_linked(&link, &self.log_dir(job)) {
            self.tell(job, "FailedLogClean", &error.to_string());
        }
        Ok(Event::Done(Done::ContainerRemoved {
            container: name.clone(),
            id: id.clone(),
        }))
    }

    /// Tells of something that went wrong without ending the action.
    pub(super) fn tell(&self, job: &Job, reason: &'static str, message: &str) {
        let now = clock::now().wall;
        self.journal
            .record(now, pod_key(job), Kind::Warning, reason, message);
    }

    fn tell_normal(&self, job: &Job, container: &str, reason: &'static str, message: &str) {
        let spec = job.spec.container(container);
        let field = spec.map(|spec| spec.role.field(container));
        let pod = PodKey {
            field: field.as_deref().unwrap_or_default(),
            ..pod_key(job)
        };
        let now = clock::now().wall;
        self.journal.record(now, pod, Kind::Normal, reason, message);
    }
}

fn pod_key(job: &Job) -> PodKey<'_> {
    PodKey {
        namespace: &job.spec.namespace,
        name: &job.spec.name,
        uid: job.uid.as_str(),
        field: "",
    }
}

pub(super) fn owner(job: &Job) -> LogOwner<'_> {
    LogOwner {
        namespace: &job.spec.namespace,
        pod: &job.spec.name,
        uid: job.uid.as_str(),
    }
}

fn container_spec<'a>(job: &'a Job, name: &str) -> Result<&'a ContainerSpec, Failure> {
    job.spec.container(name).ok_or_else(|| {
        let text = format!("container {name} is not in pod {}", job.spec.name);
        Failure::new(FailReason::CreateContainerConfigError, text)
    })
}

/// Id of the container whose processes an ephemeral container wants to see.
fn target<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    let spec = job.pod.spec.as_ref()?;
    let own = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .find(|c| c.name == name)?;
    job.containers
        .get(own.target_container_name.as_deref()?)
        .map(|id| &**id)
}
