//! What `keelson up` does, as a list of steps. Decides from wishes alone; every step finds out by
//! itself what is there already, since an earlier one may have changed it.

use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The folder of manifests to run, where it is not our own.
    pub manifests: Option<PathBuf>,
    /// Whether the demo's pods are to run.
    pub demo: bool,
}

/// One step. Each can be repeated and says so when there was nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Find out whether this machine can be a node.
    Preflight,
    /// Put the binary and the CNI plugins' names into their folder.
    Binary,
    /// Write the configuration of containerd, CNI and the kubelet.
    Configuration,
    /// Have our containerd running.
    Containerd,
    /// Have the image of the pods' sandboxes.
    PauseImage,
    /// Have the image of the demo's containers.
    DemoImage,
    /// Put the demo's manifests into the folder.
    DemoManifests,
    /// Have the kubelet running.
    Kubelet,
    /// Wait until the demo's pods are ready.
    Ready,
}

impl Step {
    /// What is being done, for people.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Preflight => "looking at this machine",
            Self::Binary => "installing the binary and the CNI plugins",
            Self::Configuration => "writing the configuration",
            Self::Containerd => "starting containerd",
            Self::PauseImage => "building the pause image",
            Self::DemoImage => "building the demo image",
            Self::DemoManifests => "placing the demo's manifests",
            Self::Kubelet => "starting the kubelet",
            Self::Ready => "waiting for the pods to be ready",
        }
    }
}

/// The steps that fulfil `wishes`, in order: images come before the kubelet, so that no pod waits
/// for one that cannot be pulled.
#[must_use]
pub fn steps(wishes: &Wishes) -> Vec<Step> {
    let demo = |step| wishes.demo.then_some(step);
    [
        Some(Step::Binary),
        Some(Step::Preflight),
        Some(Step::Configuration),
        Some(Step::Containerd),
        Some(Step::PauseImage),
        demo(Step::DemoImage),
        demo(Step::DemoManifests),
        Some(Step::Kubelet),
        demo(Step::Ready),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(steps: &[Step], step: &Step) -> usize {
        steps.iter().position(|one| one == step).unwrap()
    }

    #[test]
    fn without_the_demo_nothing_of_it_is_done() {
        let plain = steps(&Wishes::default());
        assert!(
            !plain.contains(&Step::DemoImage) && !plain.contains(&Step::Ready),
            "{plain:?}"
        );
    }

    #[test]
    fn images_come_before_the_pods_that_use_them() {
        let steps = steps(&Wishes {
            demo: true,
            ..Wishes::default()
        });
        let at = |step| place(&steps, &step);
        assert!(at(Step::Containerd) < at(Step::PauseImage));
        assert!(at(Step::PauseImage) < at(Step::Kubelet));
        assert!(at(Step::DemoImage) < at(Step::DemoManifests));
        assert!(at(Step::Kubelet) < at(Step::Ready));
        assert!(
            at(Step::Binary) < at(Step::Preflight),
            "the trial of the network runs the plugin"
        );
        assert!(at(Step::Preflight) < at(Step::Configuration));
    }
}
