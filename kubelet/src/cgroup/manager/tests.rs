//! The manager on the hierarchies of the machine it runs on, below a root of its own.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::plan::{Bound, CpuQuota};
use super::*;

/// A tree of its own per test, removed at the end with all that is in it.
struct Tree {
    manager: Manager,
    root: CgroupName,
}

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = format!("/keelson-test-{}-{number}", std::process::id());
        let manager = Manager::detect(Driver::Cgroupfs, &root).unwrap();
        Self {
            manager,
            root: CgroupName::parse(&root).unwrap(),
        }
    }

    fn path(&self, controller: &str, pod: &PodCgroup) -> PathBuf {
        let name = self.manager.name(pod);
        self.manager
            .hierarchy
            .directory(controller, &name, Driver::Cgroupfs)
            .unwrap()
    }

    fn value(&self, pod: &PodCgroup, v1: (&str, &str), v2: &str) -> String {
        let path = match self.manager.version() {
            Version::V1 => self.path(v1.0, pod).join(v1.1),
            Version::V2 => self.path("", pod).join(v2),
        };
        fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let directories = self
            .manager
            .hierarchy
            .directories(&self.root, Driver::Cgroupfs);
        apply::destroy(&directories).unwrap();
    }
}

fn pod(uid: &str, tier: Tier) -> PodCgroup {
    PodCgroup {
        uid: uid.to_owned(),
        tier,
    }
}

fn limits() -> Limits {
    Limits {
        cpu_shares: Some(512),
        cpu_quota: Some(CpuQuota {
            quota: Bound::At(50_000),
            period_micros: 100_000,
        }),
        memory: Some(Bound::At(64 << 20)),
        pids: Some(Bound::At(100)),
        ..Limits::default()
    }
}

#[test]
#[ignore = "needs root: make test"]
fn pods_come_change_and_go() {
    let tree = Tree::new();
    let manager = &tree.manager;
    manager.set_up_qos(&Limits::default(), 1500).unwrap();
    assert_eq!(manager.pods().unwrap(), []);
    let web = pod("0a1b-2c", Tier::Burstable);
    let db = pod("ffff", Tier::Guaranteed);
    for _ in 0..2 {
        manager.set_up_pod(&web, &limits()).unwrap();
    }
    manager.set_up_pod(&db, &Limits::default()).unwrap();
    assert_eq!(manager.pods().unwrap(), [web.clone(), db.clone()]);
    let memory = ("memory", "memory.limit_in_bytes");
    assert_eq!(
        tree.value(&web, memory, "memory.max"),
        (64 << 20).to_string()
    );
    let shares = tree.value(&web, ("cpu", "cpu.shares"), "cpu.weight");
    assert!(shares == "512" || shares == "20", "{shares}");
    let lower = Limits {
        cpu_quota: Some(CpuQuota {
            quota: Bound::At(1000),
            period_micros: 5000,
        }),
        memory: Some(Bound::Unlimited),
        ..Limits::default()
    };
    manager.update_pod(&web, &lower).unwrap();
    let quota = tree.value(&web, ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota == "1000" || quota == "1000 5000", "{quota}");
    let usage = manager.pod_usage(&web).unwrap();
    assert!(usage.cpu_nanos.is_some() && usage.memory.unwrap().limit.is_none());
    assert!(manager.total_usage().is_some());
    for _ in 0..2 {
        manager.remove_pod(&web).unwrap();
    }
    assert_eq!(manager.pod_usage(&web), None);
    assert_eq!(manager.pods().unwrap(), [db]);
    manager.remove_all().unwrap();
    assert_eq!(manager.pods().unwrap(), []);
    assert_eq!(manager.total_usage(), None);
}

/// Puts a process into every hierarchy of a cgroup, as a runtime does.
fn join(manager: &Manager, name: &CgroupName) -> Child {
    let child = Command::new("sleep")
        .arg("1000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    apply::create(&manager.hierarchy, name, Driver::Cgroupfs).unwrap();
    for directory in manager.hierarchy.directories(name, Driver::Cgroupfs) {
        fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    child
}

#[test]
#[ignore = "needs root: make test"]
fn removal_kills_what_the_runtime_left() {
    let tree = Tree::new();
    let manager = &tree.manager;
    let web = pod("0a1b", Tier::BestEffort);
    manager.set_up_pod(&web, &limits()).unwrap();
    let mut child = join(manager, &manager.name(&web).child("container1"));
    let inside = manager.container_usage(&web, "container1").unwrap();
    assert!(inside.memory.is_some());
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    manager.remove_pod(&web).unwrap();
    assert!(!waiter.join().unwrap().success());
    assert_eq!(manager.pods().unwrap(), []);
}

#[test]
fn a_root_that_escapes_is_refused() {
    let error = Manager::detect(Driver::Cgroupfs, "/a/../..")
        .map(|m| m.version())
        .unwrap_err();
    assert!(
        matches!(error, CgroupError::Root(_) | CgroupError::Hierarchy(_)),
        "{error}"
    );
}
