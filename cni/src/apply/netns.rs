//! The two network namespaces of a call: the plugin's own and the container's, each with a socket.

use std::os::fd::RawFd;
use std::path::Path;

use keelson_netlink::{Errno, NetNs, Protocol, Socket};

use crate::plan::Place;
use crate::wire::env::Env;
use crate::wire::error_code::{Code, Failure, Outcome};

/// Open namespaces and sockets.
#[derive(Debug)]
pub struct World {
    host: Socket,
    home: NetNs,
    pod: Option<(Socket, NetNs)>,
}

impl World {
    /// The host and the container's namespace.
    ///
    /// # Errors
    /// Code 8 where the namespace is gone, none, or the plugin's own.
    pub fn of_container(env: &Env) -> Outcome<Self> {
        let mut world = Self::host_only()?;
        let path = env.namespace.as_deref().unwrap_or(Path::new(""));
        let pod = NetNs::open(path).map_err(|error| namespace(error.to_string()))?;
        if !env.own_namespace_allowed && pod.is_same(&world.home)? {
            let what = format!(
                "CNI_NETNS: {} is the plugin's own namespace",
                path.display()
            );
            return Err(namespace(what));
        }
        world.enter(pod)?;
        Ok(world)
    }

    /// The host and, where there still is one, the container's namespace.
    ///
    /// # Errors
    /// When the host's socket cannot be opened, or the namespace is the plugin's own.
    pub fn of_remains(env: &Env) -> Outcome<Self> {
        match env.namespace.as_deref().map(NetNs::open) {
            Some(Ok(_)) => Self::of_container(env),
            Some(Err(error)) if !matches!(error.errno, Errno::NOENT | Errno::INVAL) => {
                Err(namespace(error.to_string()))
            }
            _ => Self::host_only(),
        }
    }

    /// The host alone.
    ///
    /// # Errors
    /// When its socket cannot be opened.
    pub fn host_only() -> Outcome<Self> {
        Ok(Self {
            host: Socket::open(Protocol::Route)?,
            home: NetNs::current()?,
            pod: None,
        })
    }

    fn enter(&mut self, pod: NetNs) -> Outcome<()> {
        let socket = pod.run(&self.home, || Socket::open(Protocol::Route))??;
        self.pod = Some((socket, pod));
        Ok(())
    }

    /// Whether the container's namespace is there.
    #[must_use]
    pub fn has_pod(&self) -> bool {
        self.pod.is_some()
    }

    /// The route socket of a place.
    ///
    /// # Errors
    /// Code 8 where the container's namespace is not there.
    pub fn socket(&mut self, place: Place) -> Outcome<&mut Socket> {
        match (place, &mut self.pod) {
            (Place::Host, _) => Ok(&mut self.host),
            (Place::Pod, Some((socket, _))) => Ok(socket),
            (Place::Pod, None) => Err(no_pod()),
        }
    }

    /// The descriptor of the container's namespace.
    ///
    /// # Errors
    /// Code 8 where it is not there.
    pub fn pod_descriptor(&self) -> Outcome<RawFd> {
        self.pod
            .as_ref()
            .map(|(_, ns)| ns.descriptor())
            .ok_or_else(no_pod)
    }

    /// Does something inside a place.
    ///
    /// # Errors
    /// When the namespace is not there or cannot be entered.
    pub fn run<T>(&self, place: Place, act: impl FnOnce() -> T) -> Outcome<T> {
        match (place, &self.pod) {
            (Place::Host, _) => Ok(act()),
            (Place::Pod, Some((_, ns))) => Ok(ns.run(&self.home, act)?),
            (Place::Pod, None) => Err(no_pod()),
        }
    }
}

fn no_pod() -> Failure {
    namespace("CNI_NETNS: the container's namespace is gone")
}

fn namespace(what: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidNamespace, what)
}
