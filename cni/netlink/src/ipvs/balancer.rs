//! Carries changes and listings of virtual servers to the kernel of one namespace.

use rustix::io::Errno;

use super::{
    Change, Conduct, Destination, FAMILY, How, Place, change, decode_destination, decode_service,
    list_destinations, list_services, set_timeouts,
};
use crate::generic::{decode_family, query_family};
use crate::{Error, Protocol, Result, Socket};

/// Answers to more messages at once may not fit the socket's receive buffer.
const AT_ONCE: usize = 64;

/// The virtual servers of one namespace.
#[derive(Debug)]
pub struct Balancer {
    socket: Socket,
    family: u16,
}

impl Balancer {
    /// Opens those of the calling thread's namespace.
    ///
    /// # Errors
    /// `ENOENT` where the kernel has no IPVS.
    pub fn open() -> Result<Self> {
        let step = "find IPVS in the kernel";
        let mut socket = Socket::open(Protocol::Generic)?;
        let found = socket.one(step, query_family(FAMILY))?;
        let family = found.iter().find_map(decode_family);
        Ok(Self {
            socket,
            family: family.ok_or_else(|| Error::new(step, Errno::BADMSG))?,
        })
    }

    /// All virtual servers of addresses; those of marked packets are left out.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn servers(&mut self) -> Result<Vec<(Place, Conduct)>> {
        let list = list_services(self.family);
        let found = self.socket.one("list virtual servers", list)?;
        Ok(found.iter().filter_map(decode_service).collect())
    }

    /// The real servers of a virtual one; none where it is not there.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn destinations(&mut self, place: &Place) -> Result<Vec<Destination>> {
        let list = list_destinations(self.family, place);
        let found = self.socket.one("list real servers", list)?;
        let v6 = place.ip.is_ipv6();
        let read = found.iter().map(|object| decode_destination(object, v6));
        Ok(read.flatten().collect())
    }

    /// Sets for how many seconds idle connections are remembered: of TCP, of TCP after a FIN, of UDP.
    /// 0 leaves a time as it is.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_timeouts(&mut self, seconds: [u32; 3]) -> Result<()> {
        let message = set_timeouts(self.family, seconds);
        self.socket.one("set timeouts of IPVS", message).map(drop)
    }

    /// Makes changes, one after the other. What is to go and is gone already is no error.
    ///
    /// # Errors
    /// The first refusal; changes after it may have been made, as those before it were.
    pub fn apply(&mut self, changes: &[Change]) -> Result<()> {
        for some in changes.chunks(AT_ONCE) {
            let refused = self.try_all(some, How::Make)?;
            let again: Vec<Change> = refused
                .iter()
                .filter(|(_, errno)| *errno == Errno::EXIST)
                .map(|(change, _)| (*change).clone())
                .collect();
            let others = refused.into_iter().filter(|(_, e)| *e != Errno::EXIST);
            let mut failed: Vec<(&Change, Errno)> = others.collect();
            failed.extend(self.try_all(&again, How::Alter)?);
            if let Some((change, errno)) = failed.first() {
                return Err(Error::new(step(change), *errno));
            }
        }
        Ok(())
    }

    /// Those that were refused, and why.
    fn try_all<'a>(&mut self, changes: &'a [Change], how: How) -> Result<Vec<(&'a Change, Errno)>> {
        let written = changes.iter().map(|one| change(self.family, one, how));
        let outcomes = self.socket.request(&written.collect::<Vec<_>>())?;
        let pairs = changes.iter().zip(outcomes);
        Ok(pairs
            .filter_map(|(change, outcome)| Some((change, outcome.errno?)))
            .filter(|(change, errno)| !(is_removal(change) && crate::error::is_gone(*errno)))
            .collect())
    }
}

fn is_removal(change: &Change) -> bool {
    matches!(change, Change::Remove(_) | Change::RemoveDestination(..))
}

fn step(change: &Change) -> String {
    let name = |place: &Place| format!("{}:{}/{}", place.ip, place.port, place.protocol);
    match change {
        Change::Put(place, conduct) => {
            format!("put virtual server {} ({})", name(place), conduct.scheduler)
        }
        Change::Remove(place) => format!("remove virtual server {}", name(place)),
        Change::PutDestination(place, one) => {
            format!("put real server {}:{} of {}", one.ip, one.port, name(place))
        }
        Change::RemoveDestination(place, one) => {
            format!(
                "remove real server {}:{} of {}",
                one.ip,
                one.port,
                name(place)
            )
        }
    }
}
