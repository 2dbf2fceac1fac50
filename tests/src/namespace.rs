//! A network and mount namespace, kept by a thread that does things in it on request.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

/// A namespace of its own. Ends with the last process and mount in it, once this is dropped.
pub struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes one, with loopback up and mounts that do not propagate.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let thread = thread::spawn(move || {
            for job in queue {
                job();
            }
        });
        let namespace = Self {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        namespace.run(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .expect("root makes namespaces");
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
                .expect("private mounts");
            // A sysfs of this network namespace, or links of the machine would show.
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.expect("ip runs").success(), "loopback comes up");
        });
        namespace
    }

    /// The network namespace as a file, which other programs can put things into.
    ///
    /// # Panics
    /// When the thread has ended.
    #[must_use]
    pub fn network(&self) -> String {
        let thread = self.run(rustix::thread::gettid);
        let (process, thread) = (std::process::id(), thread.as_raw_nonzero());
        format!("/proc/{process}/task/{thread}/ns/net")
    }

    /// Does something in the namespace: processes it starts and sockets it opens stay there.
    ///
    /// # Panics
    /// When `act` does.
    pub fn run<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        let job = Box::new(move || {
            // Nobody waits for the answer only when the asking test has ended.
            let _ = answer.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)));
        });
        self.jobs
            .as_ref()
            .expect("not dropped")
            .send(job)
            .expect("the thread lives");
        match answered.recv().expect("an answer") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told the one that asked.
            let _ = thread.join();
        }
    }
}
