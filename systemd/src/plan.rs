//! What `keelson up` does, as a list of steps. Decides from wishes alone; every step finds out by
//! itself what is there already, since an earlier one may have changed it.

use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The folder of manifests to run, where it is not our own.
    pub manifests: Option<PathBuf>,
    /// Whether the demo is to run.
    pub demo: bool,
    /// Whether the machine is to be a whole cluster, and not a node alone.
    pub cluster: bool,
    /// Whether the control plane of its cluster is elsewhere.
    pub worker: bool,
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
    /// Do a part of what makes the node a cluster.
    Cluster(Part),
    /// Wait until the demo's pods are ready.
    Ready,
}

/// What a cluster needs beside what every node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Have the cluster's certificates and kubeconfigs.
    Credentials,
    /// Have the image of the control plane.
    Image,
    /// Put the control plane's manifests into the folder.
    Manifests,
    /// Put the proxy's manifest into the folder of a node that has its certificate by now.
    Proxy,
    /// Wait for the node's addresses and configure the pods' network.
    Network,
    /// Wait until the API server serves and the node is ready.
    Ready,
    /// Run the demo of a cluster.
    Demo,
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
            Self::Cluster(Part::Credentials) => "issuing certificates",
            Self::Cluster(Part::Image) => "building the control plane's image",
            Self::Cluster(Part::Manifests) => "placing the control plane's manifests",
            Self::Cluster(Part::Proxy) => "placing kube-proxy's manifest",
            Self::Cluster(Part::Network) => "waiting for the node's addresses",
            Self::Cluster(Part::Demo) => "waiting for the web servers",
            Self::Cluster(Part::Ready) => "waiting for the control plane and the node",
            Self::Ready => "waiting for the pods to be ready",
        }
    }
}

/// The steps that fulfil `wishes`, in order: images come before the kubelet, so that no pod waits
/// for one that cannot be pulled.
#[must_use]
pub fn steps(wishes: &Wishes) -> Vec<Step> {
    let demo = |step| wishes.demo.then_some(step);
    let alone = |step| (wishes.demo && !wishes.cluster).then_some(step);
    let cluster = |part| wishes.cluster.then_some(Step::Cluster(part));
    let here = |part| cluster(part).filter(|_| !wishes.worker);
    [
        Some(Step::Binary),
        Some(Step::Preflight),
        Some(Step::Configuration),
        here(Part::Credentials),
        Some(Step::Containerd),
        Some(Step::PauseImage),
        cluster(Part::Image),
        demo(Step::DemoImage),
        here(Part::Manifests),
        alone(Step::DemoManifests),
        Some(Step::Kubelet),
        cluster(Part::Network),
        cluster(Part::Proxy).filter(|_| wishes.worker),
        cluster(Part::Ready),
        cluster(Part::Demo).filter(|_| wishes.demo),
        alone(Step::Ready),
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
    fn a_cluster_has_its_credentials_before_what_reads_them() {
        let steps = steps(&Wishes {
            cluster: true,
            demo: true,
            ..Wishes::default()
        });
        let at = |step| place(&steps, &step);
        let part = |part| place(&steps, &Step::Cluster(part));
        assert!(part(Part::Credentials) < part(Part::Manifests));
        assert!(part(Part::Image) < part(Part::Manifests));
        assert!(part(Part::Manifests) < at(Step::Kubelet));
        assert!(at(Step::Kubelet) < part(Part::Ready));
        assert!(
            part(Part::Network) < part(Part::Ready),
            "no network, no ready node"
        );
        assert!(part(Part::Ready) < part(Part::Demo));
        assert!(!steps.contains(&Step::Ready), "the demo of a node alone");
    }

    #[test]
    fn a_worker_has_no_control_plane_and_its_proxy_once_it_is_known() {
        let steps = steps(&Wishes {
            cluster: true,
            worker: true,
            ..Wishes::default()
        });
        let part = |part| steps.iter().position(|one| *one == Step::Cluster(part));
        assert_eq!(
            (part(Part::Credentials), part(Part::Manifests)),
            (None, None)
        );
        assert!(
            part(Part::Network) < part(Part::Proxy),
            "the proxy shows the node's certificate"
        );
        assert!(part(Part::Proxy) < part(Part::Ready));
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
