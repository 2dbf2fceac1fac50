//! emptyDir: of which medium, how large, and when a pod has outgrown it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use keelson_api::qos;
use keelson_api::quantity::Quantity;

use super::plan::{Facts, VolumeError};
use crate::cgroup::plan::page_size;
use crate::cgroup::{self, Bound, Tier};

/// What an emptyDir is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// A plain directory on the kubelet's disk.
    Disk,
    /// A tmpfs.
    Memory {
        /// Upper bound in bytes, `size=` of the mount; 0 leaves the kernel's own bound.
        size: u64,
        /// Mount with `noswap`.
        noswap: bool,
    },
    /// A hugetlbfs.
    HugePages {
        /// Bytes of one page, `pagesize=` of the mount.
        page_size: u64,
    },
}

/// What the medium of pages of one size begins with.
const PAGES_MEDIUM: &str = "HugePages-";

/// Decides the medium of the volume called `name`.
///
/// # Errors
/// An unknown medium, a malformed size, or pages that no container asks for.
pub fn medium(
    name: &str,
    source: &EmptyDirVolumeSource,
    pod: &Pod,
    facts: &Facts,
) -> Result<Medium, VolumeError> {
    let limit = size_limit(name, source)?;
    let pages = || requested_page_sizes(pod.spec.as_ref());
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => Ok(memory(limit, pod, facts)),
        "HugePages" => only_page_size(name, pages()),
        other => match other.strip_prefix(PAGES_MEDIUM) {
            Some(size) => named_page_size(name, size, &pages()),
            None => Err(VolumeError::UnknownMedium {
                volume: name.to_owned(),
                medium: other.to_owned(),
            }),
        },
    }
}

/// `sizeLimit` in bytes, when one is set that limits anything.
///
/// # Errors
/// The text is no quantity.
pub fn size_limit(name: &str, source: &EmptyDirVolumeSource) -> Result<Option<u64>, VolumeError> {
    let Some(wire) = &source.size_limit else {
        return Ok(None);
    };
    let bytes = bytes(wire).ok_or_else(|| VolumeError::BadQuantity {
        volume: name.to_owned(),
        field: "emptyDir.sizeLimit",
        value: wire.0.clone(),
    })?;
    Ok(Some(bytes).filter(|limit| *limit > 0))
}

/// A tmpfs of the smallest of what the node can give, what the pod may use and what the volume
/// may hold.
pub(super) fn memory(limit: Option<u64>, pod: &Pod, facts: &Facts) -> Medium {
    let allocatable = facts.allocatable.get("memory");
    let allocatable = allocatable.and_then(|memory| u64::try_from(memory.value()).ok());
    let bounds = [allocatable, pod_limit(pod), limit];
    let size = bounds
        .into_iter()
        .flatten()
        .filter(|bytes| *bytes > 0)
        .min();
    Medium::Memory {
        size: size.unwrap_or(0),
        noswap: facts.tmpfs_noswap,
    }
}

/// The memory limit that the pod's cgroup has.
fn pod_limit(pod: &Pod) -> Option<u64> {
    let tier = Tier::from(qos::class(pod));
    match cgroup::pod_limits(pod, tier, &cgroup::Policy::default()).memory {
        Some(Bound::At(bytes)) => Some(bytes),
        _ => None,
    }
}

fn named_page_size(
    name: &str,
    size: &str,
    requested: &BTreeMap<u64, String>,
) -> Result<Medium, VolumeError> {
    let parsed = Quantity::parse(size)
        .ok()
        .and_then(|q| u64::try_from(q.value()).ok());
    let page_size = parsed.ok_or_else(|| VolumeError::UnknownMedium {
        volume: name.to_owned(),
        medium: format!("{PAGES_MEDIUM}{size}"),
    })?;
    if !requested.contains_key(&page_size) {
        return Err(VolumeError::PagesNotRequested {
            volume: name.to_owned(),
            pages: size.to_owned(),
        });
    }
    Ok(Medium::HugePages { page_size })
}

fn only_page_size(name: &str, requested: BTreeMap<u64, String>) -> Result<Medium, VolumeError> {
    let mut each = requested.keys();
    match (each.next(), each.next()) {
        (Some(size), None) => Ok(Medium::HugePages { page_size: *size }),
        (None, _) => Err(VolumeError::PagesNotRequested {
            volume: name.to_owned(),
            pages: "any size".to_owned(),
        }),
        _ => Err(VolumeError::AmbiguousPages {
            volume: name.to_owned(),
            sizes: requested.into_values().collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Page sizes that the pod or any of its containers requests, with the name each was asked by.
fn requested_page_sizes(spec: Option<&PodSpec>) -> BTreeMap<u64, String> {
    let Some(spec) = spec else {
        return BTreeMap::new();
    };
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let of_containers = containers.filter_map(|c| c.resources.as_ref());
    let all = of_containers.chain(spec.resources.as_ref());
    all.filter_map(|resources| resources.requests.as_ref().or(resources.limits.as_ref()))
        .flat_map(BTreeMap::keys)
        .filter_map(|name| Some((page_size(name)?, name.clone())))
        .collect()
}

fn bytes(wire: &WireQuantity) -> Option<u64> {
    u64::try_from(Quantity::try_from(wire).ok()?.value()).ok()
}

/// The eviction message of a pod whose emptyDir holds more than its `sizeLimit`; `None` while it
/// is within it. The event reason that goes with it is `Evicted`.
#[must_use]
pub fn outgrown(name: &str, source: &EmptyDirVolumeSource, used: u64) -> Option<String> {
    let limit = size_limit(name, source).ok().flatten()?;
    let written = source
        .size_limit
        .as_ref()
        .map(|q| q.0.as_str())
        .unwrap_or_default();
    (used > limit)
        .then(|| format!("Usage of EmptyDir volume {name:?} exceeds the limit {written:?}. "))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, ResourceRequirements};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn source(medium: &str, limit: Option<&str>) -> EmptyDirVolumeSource {
        EmptyDirVolumeSource {
            medium: Some(medium.to_owned()),
            size_limit: limit.map(|text| WireQuantity(text.to_owned())),
        }
    }

    /// A pod limited to 64Mi, with a container that requests these pages.
    fn requesting(names: &[&str]) -> Pod {
        let amount = || WireQuantity("4Mi".to_owned());
        let limit = ("memory".to_owned(), WireQuantity("64Mi".to_owned()));
        let resources = ResourceRequirements {
            requests: Some(names.iter().map(|n| ((*n).to_owned(), amount())).collect()),
            limits: Some([limit].into()),
            ..ResourceRequirements::default()
        };
        let container = Container {
            resources: Some(resources),
            ..Container::default()
        };
        let spec = PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        };
        Pod {
            spec: Some(spec),
            ..Pod::default()
        }
    }

    fn check(medium_name: &str, limit: Option<&str>, pages: &[&str], want: Result<Medium, &str>) {
        let facts = Facts {
            allocatable: [("memory".to_owned(), Quantity::parse("1Gi").unwrap())].into(),
            ..Facts::default()
        };
        let got = medium("v", &source(medium_name, limit), &requesting(pages), &facts);
        match want {
            Ok(want) => assert_eq!(got.unwrap(), want),
            Err(words) => {
                let error = got.unwrap_err().to_string();
                assert!(error.contains(words), "{error:?} does not say {words:?}");
            }
        }
    }

    #[test]
    fn media() {
        let memory = |size| {
            Ok(Medium::Memory {
                size,
                noswap: false,
            })
        };
        check("", Some("1Gi"), &[], Ok(Medium::Disk));
        check("Memory", None, &[], memory(64 * MIB));
        check("Memory", Some("16Mi"), &[], memory(16 * MIB));
        check("Memory", Some("1Gi"), &[], memory(64 * MIB));
        check("Memory", Some("0"), &[], memory(64 * MIB));
        check("Memory", Some("lots"), &[], Err("sizeLimit \"lots\""));
        check("Ramdisk", None, &[], Err("medium \"Ramdisk\""));
    }

    #[test]
    fn huge_pages() {
        let pages = |page_size| Ok(Medium::HugePages { page_size });
        check("HugePages", None, &["hugepages-2Mi", "cpu"], pages(2 * MIB));
        check("HugePages", None, &[], Err("any size"));
        check(
            "HugePages",
            None,
            &["hugepages-2Mi", "hugepages-1Gi"],
            Err("hugepages-1Gi"),
        );
        check(
            "HugePages-1Gi",
            None,
            &["hugepages-2Mi", "hugepages-1Gi"],
            pages(1024 * MIB),
        );
        check("HugePages-1Gi", None, &["hugepages-2Mi"], Err("1Gi"));
        check("HugePages-xx", None, &[], Err("medium \"HugePages-xx\""));
    }

    #[test]
    fn the_eviction_message_is_upstreams() {
        let check = |limit, used, want: Option<&str>| {
            assert_eq!(outgrown("cache", &source("", limit), used).as_deref(), want);
        };
        check(Some("1Mi"), MIB, None);
        check(None, u64::MAX, None);
        let text = "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ";
        check(Some("1Mi"), MIB + 1, Some(text));
    }
}
