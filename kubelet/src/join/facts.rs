//! Finds out what the Node object's status says: the machine, the runtime, the images.

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use keelson_cri::Client;
use tokio::sync::watch;

use super::node_object::{Found, Setting};
use crate::agent::pressure::Conditions;

/// The version that this kubelet's behaviour is of, as clients compare it.
const KUBELET_VERSION: &str = concat!("v1.36.0+keelson.", env!("CARGO_PKG_VERSION"));

/// Where facts are found.
#[derive(Debug)]
pub struct Facts {
    /// The runtime.
    pub cri: Client,
    /// What does not change.
    pub setting: Setting,
    /// `nodeStatusMaxImages`.
    pub most_images: i32,
    /// What runs low.
    pub conditions: Conditions,
    /// What is wrong with the client's certificate.
    pub certificate: watch::Receiver<Option<String>>,
}

impl Facts {
    /// Looks at everything.
    pub async fn look(&self) -> Found {
        let images = self.cri.list_images().await.unwrap_or_default();
        let runtime = self.cri.status().await.map_err(|error| error.to_string());
        let version = self.cri.version().await;
        let version = version.map_or_else(
            |_| "unknown://".to_owned(),
            |version| format!("{}://{}", version.name, version.version),
        );
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Found {
            milli_cpu: i64::try_from(processors).unwrap_or(1).saturating_mul(1000),
            storage: storage(&self.setting.storage_path),
            huge_pages: huge_pages(),
            system: system(version),
            runtime,
            images,
            pressure: self.conditions.borrow().clone(),
            certificate: self.certificate.borrow().clone(),
        }
    }
}

fn storage(path: &Path) -> i64 {
    rustix::fs::statvfs(path).map_or(0, |stat| {
        i64::try_from(stat.f_blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX)
    })
}

/// Page sizes and how many pages of each are reserved.
fn huge_pages() -> Vec<(u64, i64)> {
    let pages = crate::cgroup::manager::page_sizes()
        .into_iter()
        .map(|size| {
            let kib = size / 1024;
            let path = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
            (size, line(&path).parse().unwrap_or(0))
        });
    pages.collect()
}

fn system(runtime: String) -> NodeSystemInfo {
    let machine = line("/etc/machine-id");
    let uuid = line("/sys/class/dmi/id/product_uuid");
    NodeSystemInfo {
        architecture: crate::agent::start::architecture().to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: runtime,
        kernel_version: line("/proc/sys/kernel/osrelease"),
        kubelet_version: KUBELET_VERSION.to_owned(),
        operating_system: "linux".to_owned(),
        os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        system_uuid: if uuid.is_empty() {
            machine.clone()
        } else {
            uuid
        },
        machine_id: machine,
        ..NodeSystemInfo::default()
    }
}

/// The file's first line; nothing if it is not there.
fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn os_image(release: &str) -> String {
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::os_image;

    #[test]
    fn names_the_system() {
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(os_image(text), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(os_image(""), "Linux");
    }
}
