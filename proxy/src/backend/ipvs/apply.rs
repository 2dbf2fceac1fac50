//! Carries virtual servers, addresses and the table beside them to the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use keelson_netlink::ipvs::{Balancer, Change, Conduct, Place};

use super::Settings;
use super::link::{self, AddressLink};
use super::plan::{Found, Servers, addresses, change, draining, mend, servers};
use crate::backend::nftables::{Nftables, NftablesError};
use crate::backend::{Applied, Families};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::ServiceRules;
use crate::sysctl::{self, SysctlError};

/// Packets of connections whose endpoint is gone find another one; the kernel's connection tracking
/// knows the way back, so that sources can be hidden.
const SYSCTLS: [(&str, i64); 4] = [
    ("net/ipv4/vs/conntrack", 1),
    ("net/ipv4/vs/expire_nodest_conn", 1),
    ("net/ipv4/vs/expire_quiescent_template", 1),
    ("net/ipv4/ip_forward", 1),
];
const STRICT_ARP: [(&str, i64); 2] = [
    ("net/ipv4/conf/all/arp_ignore", 1),
    ("net/ipv4/conf/all/arp_announce", 2),
];

/// Why Services are not in place.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// The kernel has no IPVS.
    #[error("{0}; load the module ip_vs, or use mode nftables")]
    Missing(keelson_netlink::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] keelson_netlink::Error),
    /// A setting that IPVS does not work without.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The table beside the virtual servers.
    #[error(transparent)]
    Table(#[from] NftablesError),
}

/// The IPVS backend.
#[derive(Debug)]
pub struct Ipvs {
    settings: Settings,
    balancer: Balancer,
    link: AddressLink,
    table: Nftables,
    /// How many Services hold an address.
    held: HashMap<IpAddr, usize>,
    /// Virtual servers with real ones on their way out.
    draining: BTreeSet<Place>,
    /// How many virtual servers there should be.
    count: usize,
    /// Whether the kernel is as we left it.
    known: bool,
}

impl Ipvs {
    /// Opens what the mode needs, in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel does not have it.
    pub fn open(families: Families, settings: Settings) -> Result<Self, IpvsError> {
        let table = Nftables::open(families)?;
        let mut balancer = Balancer::open().map_err(IpvsError::Missing)?;
        let strict: &[_] = if settings.strict_arp {
            &STRICT_ARP
        } else {
            &[]
        };
        let wanted: Vec<(&str, i64)> = SYSCTLS.iter().chain(strict).copied().collect();
        if let Some(refused) = sysctl::apply(&wanted).pop() {
            return Err(refused.into());
        }
        if settings.timeouts != [0; 3] {
            balancer.set_timeouts(settings.timeouts)?;
        }
        Ok(Self {
            link: AddressLink::make()?,
            settings,
            balancer,
            table,
            held: HashMap::new(),
            draining: BTreeSet::new(),
            count: 0,
            known: false,
        })
    }

    /// Applies a change; looks at everything where the kernel's state is not known. `rules` is the
    /// state after it.
    ///
    /// # Errors
    /// When the kernel refuses. Everything is looked at at the next call then.
    pub fn apply(&mut self, rules: &RuleSet, delta: &RuleDelta) -> Result<Applied, IpvsError> {
        if !std::mem::take(&mut self.known) || delta.node.is_some() {
            return self.adopt(rules);
        }
        let all = |side: fn(&crate::diff::Change) -> &Option<std::sync::Arc<ServiceRules>>| {
            let mut found = Servers::new();
            for rules_of in delta
                .services
                .values()
                .filter_map(|one| side(one).as_deref())
            {
                found.extend(servers(rules_of, rules.node(), &self.settings.scheduler));
            }
            found
        };
        let (before, after) = (all(|one| &one.0), all(|one| &one.1));
        let (added, removed) = self.count_addresses(rules, delta);
        self.count = (self.count + after.len()).saturating_sub(before.len());
        let mut applied = self.carry(&change(&before, &after), &added)?;
        let table = self.table.apply(rules, delta)?;
        applied += table.messages + removed.len();
        self.link.change(&[], &removed)?;
        self.known = true;
        Ok(Applied {
            messages: applied,
            full: table.full,
        })
    }

    /// Makes what is in the kernel what `rules` say, whoever wrote to it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn adopt(&mut self, rules: &RuleSet) -> Result<Applied, IpvsError> {
        self.known = false;
        self.held.clear();
        let mut wanted = Servers::new();
        for (_, service) in rules.services() {
            wanted.extend(servers(service, rules.node(), &self.settings.scheduler));
            for ip in addresses(service, rules.node()) {
                *self.held.entry(ip).or_insert(0) += 1;
            }
        }
        let there = self.link.held()?;
        let missing = self.held.keys().filter(|ip| !there.contains(ip));
        let added: Vec<IpAddr> = missing.copied().collect();
        let left = there.iter().filter(|ip| !self.held.contains_key(ip));
        let removed: Vec<IpAddr> = left.copied().collect();
        let found = self.find()?;
        self.draining.clear();
        for (place, server) in &found {
            if server.destinations.iter().any(|one| one.weight == 0) {
                self.draining.insert(*place);
            }
        }
        self.count = wanted.len();
        let mut messages = self.carry(&mend(&found, &wanted), &added)?;
        messages += self.table.adopt(rules)?.messages + removed.len();
        self.link.change(&[], &removed)?;
        self.known = true;
        Ok(Applied {
            messages,
            full: true,
        })
    }

    /// Whether somebody else wrote. Real servers that nobody talks to any more go by the way.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_in_doubt(&mut self) -> Result<bool, IpvsError> {
        self.let_go()?;
        let there = self.places()?.len();
        let held = self.link.held()?.len();
        let differs = there != self.count || held != self.held.len() || !self.known;
        Ok(self.table.is_in_doubt()? || differs)
    }

    /// Removes the virtual servers, addresses and the table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self) -> Result<(), IpvsError> {
        self.known = false;
        self.table.remove()?;
        remove_servers(&mut self.balancer, &self.settings)?;
        Ok(link::release()?)
    }

    /// Puts addresses before the virtual servers at them.
    fn carry(&mut self, changes: &[Change], added: &[IpAddr]) -> Result<usize, IpvsError> {
        self.link.change(added, &[])?;
        self.balancer.apply(changes)?;
        self.draining.extend(draining(changes));
        self.let_go()?;
        Ok(changes.len() + added.len())
    }

    /// Removes real servers that are on their way out and have no connections.
    fn let_go(&mut self) -> Result<(), IpvsError> {
        let mut ended = Vec::new();
        for place in std::mem::take(&mut self.draining) {
            for one in self.balancer.destinations(&place)? {
                match (one.weight, one.connections) {
                    (0, 0) => ended.push(Change::RemoveDestination(place, one)),
                    (0, _) => drop(self.draining.insert(place)),
                    _ => {}
                }
            }
        }
        Ok(self.balancer.apply(&ended)?)
    }

    /// Addresses that are held from now on, and those that are not any more.
    fn count_addresses(
        &mut self,
        rules: &RuleSet,
        delta: &RuleDelta,
    ) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let node = rules.node();
        let mut sums: BTreeMap<IpAddr, isize> = BTreeMap::new();
        for (before, after) in delta.services.values() {
            for (side, step) in [(before, -1), (after, 1)] {
                for ip in side.iter().flat_map(|service| addresses(service, node)) {
                    *sums.entry(ip).or_insert(0) += step;
                }
            }
        }
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (ip, step) in sums {
            let before = self.held.get(&ip).copied().unwrap_or(0);
            let after = before.saturating_add_signed(step);
            match (before, after) {
                (0, 1..) => added.push(ip),
                (1.., 0) => removed.push(ip),
                _ => {}
            }
            if after == 0 {
                self.held.remove(&ip);
            } else {
                self.held.insert(ip, after);
            }
        }
        (added, removed)
    }

    fn places(&mut self) -> Result<Vec<(Place, Conduct)>, IpvsError> {
        ours(&mut self.balancer, &self.settings)
    }

    fn find(&mut self) -> Result<BTreeMap<Place, Found>, IpvsError> {
        let mut found = BTreeMap::new();
        for (place, conduct) in self.places()? {
            let destinations = self.balancer.destinations(&place)?;
            found.insert(
                place,
                Found {
                    conduct,
                    destinations,
                },
            );
        }
        Ok(found)
    }
}

/// All but those that are somebody else's by the configuration.
fn ours(balancer: &mut Balancer, settings: &Settings) -> Result<Vec<(Place, Conduct)>, IpvsError> {
    let mut all = balancer.servers()?;
    all.retain(|(place, _)| !settings.excluded.iter().any(|cidr| cidr.contains(place.ip)));
    Ok(all)
}

fn remove_servers(balancer: &mut Balancer, settings: &Settings) -> Result<(), IpvsError> {
    let all = ours(balancer, settings)?.into_iter();
    let changes: Vec<Change> = all.map(|(place, _)| Change::Remove(place)).collect();
    Ok(balancer.apply(&changes)?)
}

/// Removes the virtual servers and addresses that a proxy in this mode left; where its link is not,
/// none has been here, and virtual servers are somebody else's.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_left(settings: &Settings) -> Result<(), IpvsError> {
    if !link::exists()? {
        return Ok(());
    }
    if let Ok(mut balancer) = Balancer::open() {
        remove_servers(&mut balancer, settings)?;
    }
    Ok(link::release()?)
}
