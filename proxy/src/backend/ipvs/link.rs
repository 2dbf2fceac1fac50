//! The link that holds the Services' addresses: packets to them are for this node then, and IPVS sees
//! them. Knows netlink, and nothing of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link;
use keelson_netlink::{Cidr, Errno, Error, Message, Protocol, Result, Socket};

/// Its name, upstream's too.
pub const LINK: &str = "kube-ipvs0";
/// Answers to more messages at once may not fit the socket's receive buffer.
const AT_ONCE: usize = 64;

/// The link, which exists.
#[derive(Debug)]
pub struct AddressLink {
    socket: Socket,
    index: u32,
}

impl AddressLink {
    /// Makes the link where it is missing, in the calling thread's namespace.
    ///
    /// # Errors
    /// When the kernel refuses, or has no dummy links.
    pub fn make() -> Result<Self> {
        let mut socket = Socket::open(Protocol::Route)?;
        let step = format!("create link {LINK}");
        match socket.one(&step, link::create_dummy(LINK)) {
            Err(error) if error.errno != Errno::EXIST => return Err(error),
            _ => {}
        }
        let Some(index) = find(&mut socket)? else {
            return Err(Error::new(step, Errno::NODEV));
        };
        socket.one(&format!("bring up link {LINK}"), link::set_up(index, true))?;
        Ok(Self { socket, index })
    }

    /// The addresses it holds, the kernel's own aside.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn held(&mut self) -> Result<BTreeSet<IpAddr>> {
        let all = listed(&mut self.socket)?;
        let own = all.iter().filter(|one| one.index == self.index);
        let ips = own.map(|one| one.cidr.addr);
        Ok(ips
            .filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()))
            .collect())
    }

    /// Adds addresses and removes others; what is so already is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn change(&mut self, added: &[IpAddr], removed: &[IpAddr]) -> Result<()> {
        let index = self.index;
        let at = |ip: &IpAddr| Address {
            index,
            cidr: Cidr::host(*ip),
            tentative: false,
        };
        let add = added.iter().map(|ip| address::add(&at(ip), false));
        self.send("add", added, &add.collect::<Vec<_>>(), |e| {
            e == Errno::EXIST
        })?;
        let remove = removed.iter().map(|ip| address::delete(&at(ip)));
        let gone = |errno| errno == Errno::ADDRNOTAVAIL;
        self.send("remove", removed, &remove.collect::<Vec<_>>(), gone)
    }

    fn send(
        &mut self,
        what: &str,
        ips: &[IpAddr],
        messages: &[Message],
        is_so: impl Fn(Errno) -> bool,
    ) -> Result<()> {
        for (ips, messages) in ips.chunks(AT_ONCE).zip(messages.chunks(AT_ONCE)) {
            for (ip, outcome) in ips.iter().zip(self.socket.request(messages)?) {
                if let Some(errno) = outcome.errno.filter(|errno| !is_so(*errno)) {
                    return Err(Error::new(format!("{what} address {ip} at {LINK}"), errno));
                }
            }
        }
        Ok(())
    }
}

fn find(socket: &mut Socket) -> Result<Option<u32>> {
    match socket.one(&format!("find link {LINK}"), link::query(LINK)) {
        Ok(found) => Ok(found.iter().find_map(link::decode).map(|link| link.index)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

fn listed(socket: &mut Socket) -> Result<Vec<Address>> {
    let objects = socket.one("list addresses", address::list())?;
    Ok(objects.iter().filter_map(address::decode).collect())
}

/// The addresses of the node's other links.
///
/// # Errors
/// When the kernel refuses the listing.
pub fn other_addresses() -> Result<Vec<IpAddr>> {
    let mut socket = Socket::open(Protocol::Route)?;
    let own = find(&mut socket)?;
    let all = listed(&mut socket)?.into_iter();
    let others = all.filter(|one| Some(one.index) != own);
    Ok(others.map(|one| one.cidr.addr).collect())
}

/// Whether the link is there.
///
/// # Errors
/// When the kernel does not say.
pub fn exists() -> Result<bool> {
    Ok(find(&mut Socket::open(Protocol::Route)?)?.is_some())
}

/// Removes the link with its addresses; that it is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn release() -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    match socket.one(&format!("remove link {LINK}"), link::delete(LINK)) {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}
