//! Reads and writes routes and the table of masquerading, by netlink. Routes of others are never
//! touched: ours carry a number of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keelson_netlink::nft::expression::Verdict;
use keelson_netlink::nft::object::{
    BaseChain, ChainKind, Family, Hook, add_base_chain, add_chain, add_rule, add_table,
    delete_table,
};
use keelson_netlink::nft::{Comparison, Expression, Firewall, Register};
use keelson_netlink::route::{address, path};
use keelson_netlink::wire::ip_bytes;
use keelson_netlink::{Cidr, Message, Protocol, Result, Socket};

use super::plan::{Own, Peer, Way, changes, networks, plan};

/// Who made our routes.
const ORIGIN: u8 = 75;
const MAIN: u32 = 254;
const TABLE: &str = "keelson-pods";
const LEAVING: &str = "leaving";
/// After the service rules, which decide on their own about what they rewrote.
const PRIORITY: i32 = 110;

/// The routes of this node, and what they follow from.
#[derive(Debug, Default)]
pub struct PodRoutes {
    here: String,
    nodes: BTreeMap<String, Peer>,
    cluster: Vec<Cidr>,
    told: Vec<String>,
    /// The networks that masquerading was set up for.
    masqueraded: Option<(Vec<Cidr>, Vec<Cidr>)>,
}

impl PodRoutes {
    /// Routes of the node of this name, in a cluster whose pods are in these networks; none where
    /// only the nodes tell.
    #[must_use]
    pub fn new(here: &str, cluster: Vec<Cidr>) -> Self {
        Self {
            here: here.to_owned(),
            cluster,
            ..Self::default()
        }
    }

    /// A node as it is now; `None` where it is gone. Whether routes may follow from that.
    pub fn set_node(&mut self, name: &str, node: Option<Peer>) -> bool {
        let before = match node.clone() {
            Some(node) => self.nodes.insert(name.to_owned(), node),
            None => self.nodes.remove(name),
        };
        before != node
    }

    /// Makes routes and masquerading what they should be; how many routes were written.
    ///
    /// # Errors
    /// When the kernel refuses; all other routes are in place then.
    pub fn apply(&mut self) -> Result<usize> {
        let mut socket = Socket::open(Protocol::Route)?;
        let plan = plan(&self.here, &self.nodes, &own(&mut socket)?);
        if plan.unreachable != self.told && !plan.unreachable.is_empty() {
            let names = plan.unreachable.join(", ");
            tracing::warn!("no way to the pods of nodes on another link: {names}");
        }
        self.told = plan.unreachable;
        let (gone, new) = changes(&routes(&mut socket)?, &plan.routes);
        let written = gone.len() + new.len();
        let removed = gone.iter().map(|(cidr, way)| {
            let step = format!("remove route to {cidr}");
            (step, path::delete(&route(*cidr, *way)))
        });
        let added = new.iter().map(|(cidr, way)| {
            let step = format!("add route to {cidr}");
            (step, path::replace(&route(*cidr, *way)))
        });
        let outcomes: Vec<Result<()>> = removed
            .chain(added)
            .map(|(step, message)| match socket.one(&step, message) {
                Err(error) if error.is_gone() && step.starts_with("remove") => Ok(()),
                outcome => outcome.map(drop),
            })
            .collect();
        self.masquerade()?;
        outcomes.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(written)
    }

    fn masquerade(&mut self) -> Result<()> {
        let wanted = networks(&self.here, &self.nodes, &self.cluster);
        if self.masqueraded.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let messages = table(&wanted.0, &wanted.1);
        Firewall::open()?.apply("masquerade what leaves the pod network", None, messages)?;
        self.masqueraded = Some(wanted);
        Ok(())
    }
}

/// Removes all routes of ours and the table.
///
/// # Errors
/// When the kernel refuses; that there are none is no error.
pub fn release() -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    for (cidr, way) in routes(&mut socket)? {
        let step = format!("remove route to {cidr}");
        socket.one(&step, path::delete(&route(cidr, way)))?;
    }
    let mut firewall = Firewall::open()?;
    for family in [Family::Ip, Family::Ip6] {
        firewall.delete_table(family, TABLE)?;
    }
    Ok(())
}

fn own(socket: &mut Socket) -> Result<Vec<Own>> {
    let listed = socket.one("list addresses", address::list())?;
    let all = listed.iter().filter_map(address::decode);
    let usable = all.filter(|address| !address.cidr.addr.is_loopback());
    Ok(usable
        .map(|address| Own {
            link: address.index,
            cidr: address.cidr,
        })
        .collect())
}

/// The routes of ours that are there.
fn routes(socket: &mut Socket) -> Result<BTreeMap<Cidr, Way>> {
    let mut found = BTreeMap::new();
    socket.stream("list routes", &path::list(), |object| {
        let Some(route) = path::decode(object) else {
            return;
        };
        let ours = route.origin == Some(ORIGIN) && route.table == Some(MAIN);
        if let (true, Some(gateway), Some(link)) = (ours, route.gateway, route.index) {
            found.insert(route.destination, Way::Direct { gateway, link });
        }
    })?;
    Ok(found)
}

fn route(cidr: Cidr, way: Way) -> path::Route {
    let Way::Direct { gateway, link } = way;
    path::Route {
        gateway: Some(gateway),
        index: Some(link),
        origin: Some(ORIGIN),
        ..path::Route::to(cidr)
    }
}

fn table(own: &[Cidr], all: &[Cidr]) -> Vec<Message> {
    let mut out = Vec::new();
    for (v6, family) in [(false, Family::Ip), (true, Family::Ip6)] {
        out.push(add_table(family, TABLE));
        out.push(delete_table(family, TABLE));
        if own.iter().all(|cidr| cidr.is_v6() != v6) {
            continue;
        }
        out.push(add_table(family, TABLE));
        out.push(add_chain(family, TABLE, LEAVING));
        let chain = BaseChain {
            name: "postrouting".to_owned(),
            kind: ChainKind::Nat,
            hook: Hook::Postrouting,
            priority: PRIORITY,
        };
        out.push(add_base_chain(family, TABLE, &chain));
        let multicast = if v6 { "ff00::/8" } else { "224.0.0.0/4" };
        let stays = all.iter().copied().chain(multicast.parse());
        for cidr in stays.filter(|cidr| cidr.is_v6() == v6) {
            let rule = within(cidr, false, Expression::Verdict(Verdict::Return));
            out.push(add_rule(family, TABLE, LEAVING, &rule));
        }
        let hide = [Expression::MasqueradeRandomly];
        out.push(add_rule(family, TABLE, LEAVING, &hide));
        for cidr in own.iter().filter(|cidr| cidr.is_v6() == v6) {
            let jump = Expression::Verdict(Verdict::Jump(LEAVING.to_owned()));
            let rule = within(*cidr, true, jump);
            out.push(add_rule(family, TABLE, "postrouting", &rule));
        }
    }
    out
}

fn within(cidr: Cidr, source: bool, then: Expression) -> [Expression; 4] {
    let network: IpAddr = cidr.network().addr;
    [
        Expression::Address {
            to: Register(0),
            v6: cidr.is_v6(),
            source,
        },
        Expression::Mask(Register(0), cidr.mask()),
        Expression::Compare(Register(0), Comparison::Equal, ip_bytes(network)),
        then,
    ]
}
