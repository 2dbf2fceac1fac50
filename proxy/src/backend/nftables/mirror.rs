//! What we know to be in the kernel beside the rules themselves, and a change of rules as messages.
//! Pure.
//!
//! The rules say which elements there are; the mirror only counts what Services share: routes and
//! hairpins. A route that nobody uses any more stays for the next one, up to a limit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use keelson_netlink::Message;
use keelson_netlink::nft::expression::Verdict;
use keelson_netlink::nft::object::{add_chain, add_rule, delete_chain, delete_table};
use keelson_netlink::nft::{Pack, object};

use super::layout::{Set, TABLE, family};
use super::render::{Element, Rendered, hairpin, render, render_node};
use super::route::Route;
use super::skeleton;
use crate::backend::Families;
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{NodeRules, ServiceRules};

/// How many routes may wait for somebody to use them.
const SPARE_ROUTES: usize = 64;

/// Counts of what Services share.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mirror {
    families: Families,
    routes: HashMap<(bool, Route), usize>,
    hairpins: HashMap<IpAddr, usize>,
}

/// What is in the kernel's table, as far as it was read.
#[derive(Debug, Default)]
pub struct Found {
    /// Names of the chains, by family.
    pub chains: HashSet<(bool, String)>,
    /// All elements of rendered sets.
    pub elements: Vec<Element>,
    /// Keys of the maps from routes to chains, by family.
    pub routes: HashSet<(bool, Vec<u8>)>,
}

impl Mirror {
    /// A mirror of an empty table.
    #[must_use]
    pub fn new(families: Families) -> Self {
        Self {
            families,
            ..Self::default()
        }
    }

    /// The messages that take an adopted table from one state of the rules to the next. `None`
    /// where the skeleton changes: then everything is built anew.
    pub fn change(&mut self, delta: &RuleDelta, node: &NodeRules) -> Option<Vec<Message>> {
        let mut changes = Changes::default();
        if let Some((before, after)) = &delta.node {
            let same = |v6| skeleton::fingerprint(v6, before) == skeleton::fingerprint(v6, after);
            if before.ipvs != after.ipvs || !self.families.each().all(same) {
                return None;
            }
            changes.elements(&self.families, &render_node(before), &render_node(after));
        }
        for (before, after) in delta.services.values() {
            let rendered = |side: &Option<Arc<ServiceRules>>| {
                let service = side.as_deref().map(|service| render(service, node));
                service.unwrap_or_default()
            };
            let (before, after) = (rendered(before), rendered(after));
            self.replace(&before, &after, &mut changes);
        }
        self.drop_spares(&mut changes);
        Some(changes.into_messages(node))
    }

    /// The messages that build everything from nothing, whatever was in the table.
    pub fn rebuild(&mut self, rules: &RuleSet) -> Vec<Message> {
        let mut out = Vec::new();
        for v6 in self.families.each() {
            out.push(object::add_table(family(v6), TABLE));
            out.push(delete_table(family(v6), TABLE));
            out.extend(skeleton::messages(v6, rules.node()));
        }
        let mut changes = Changes::default();
        changes.elements(&self.families, &[], &render_node(rules.node()));
        *self = Self::new(self.families);
        for (_, service) in rules.services() {
            self.replace(
                &Rendered::default(),
                &render(service, rules.node()),
                &mut changes,
            );
        }
        out.extend(changes.into_messages(rules.node()));
        out
    }

    /// The messages that turn what was found into what should be; none where it is that already.
    /// `None` where another skeleton was found, or none.
    pub fn adopt(&mut self, rules: &RuleSet, found: Found) -> Option<Vec<Message>> {
        let name = |v6| (v6, skeleton::fingerprint(v6, rules.node()));
        if !self
            .families
            .each()
            .all(|v6| found.chains.contains(&name(v6)))
        {
            return None;
        }
        let mut wanted = Mirror::new(self.families);
        let mut everything = Changes::default();
        for (_, service) in rules.services() {
            wanted.replace(
                &Rendered::default(),
                &render(service, rules.node()),
                &mut everything,
            );
        }
        let mut there: HashMap<(bool, Set, Vec<u8>), Element> = HashMap::new();
        for element in found.elements {
            there.insert((element.v6, element.set, element.key.clone()), element);
        }
        let mut changes = Changes::default();
        let mut compare = |element: Element| match there.remove(&(
            element.v6,
            element.set,
            element.key.clone(),
        )) {
            Some(same) if same == element => {}
            Some(other) => {
                changes.removed.push(other);
                changes.added.push(element);
            }
            None => changes.added.push(element),
        };
        render_node(rules.node()).into_iter().for_each(&mut compare);
        everything.added.into_iter().for_each(compare);
        changes.removed.extend(there.into_values());
        for (v6, route) in wanted.routes.keys() {
            let chain = found.chains.contains(&(*v6, route.chain()));
            if !chain || !found.routes.contains(&(*v6, route.key().to_vec())) {
                changes.new_routes.push((*v6, *route));
            }
        }
        *self = wanted;
        Some(changes.into_messages(rules.node()))
    }

    fn replace(&mut self, before: &Rendered, after: &Rendered, changes: &mut Changes) {
        changes.elements(&self.families, &before.elements, &after.elements);
        let manages = |v6: bool| self.families.has(v6);
        for used in after.routes.iter().filter(|(v6, _)| manages(*v6)) {
            let count = self.routes.entry(*used).or_insert_with(|| {
                changes.new_routes.push(*used);
                0
            });
            *count += 1;
        }
        for used in before.routes.iter().filter(|(v6, _)| manages(*v6)) {
            if let Some(count) = self.routes.get_mut(used) {
                *count = count.saturating_sub(1);
            }
        }
        for ip in after.hairpins.difference(&before.hairpins) {
            let count = self.hairpins.entry(*ip).or_insert(0);
            *count += 1;
            if *count == 1 && self.families.has(ip.is_ipv6()) {
                changes.added.push(hairpin(*ip));
            }
        }
        for ip in before.hairpins.difference(&after.hairpins) {
            self.forget_hairpin(*ip, changes);
        }
    }

    fn forget_hairpin(&mut self, ip: IpAddr, changes: &mut Changes) {
        let Some(count) = self.hairpins.get_mut(&ip) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.hairpins.remove(&ip);
            if self.families.has(ip.is_ipv6()) {
                changes.removed.push(hairpin(ip));
            }
        }
    }

    fn drop_spares(&mut self, changes: &mut Changes) {
        let unused = self.routes.iter().filter(|(_, count)| **count == 0);
        let mut spare: Vec<_> = unused.map(|(route, _)| *route).collect();
        if spare.len() <= SPARE_ROUTES {
            return;
        }
        spare.sort_unstable();
        for route in spare {
            self.routes.remove(&route);
            changes.new_routes.retain(|new| *new != route);
            changes.old_routes.push(route);
        }
    }
}

/// A transaction under construction.
#[derive(Debug, Default)]
struct Changes {
    removed: Vec<Element>,
    added: Vec<Element>,
    new_routes: Vec<(bool, Route)>,
    old_routes: Vec<(bool, Route)>,
}

impl Changes {
    /// Takes over what differs between two ordered lists.
    fn elements(&mut self, families: &Families, before: &[Element], after: &[Element]) {
        let managed = |element: &&Element| families.has(element.v6);
        let lacks = |list: &[Element], one: &Element| list.binary_search(one).is_err();
        let gone = before.iter().filter(managed);
        self.removed
            .extend(gone.filter(|e| lacks(after, e)).cloned());
        let new = after.iter().filter(managed);
        self.added.extend(new.filter(|e| lacks(before, e)).cloned());
    }

    /// New routes first, since elements lead to them; then what goes, so that a key may come back
    /// with another value.
    fn into_messages(mut self, node: &NodeRules) -> Vec<Message> {
        self.cancel_out();
        let mut out = Vec::new();
        for (v6, route) in &self.new_routes {
            let chain = route.chain();
            out.push(add_chain(family(*v6), TABLE, &chain));
            out.push(object::flush_chain(family(*v6), TABLE, &chain));
            let rules = route.rules(*v6, node);
            out.extend(
                rules
                    .iter()
                    .map(|rule| add_rule(family(*v6), TABLE, &chain, &rule.steps)),
            );
            let mut pack = Pack::adding(family(*v6), TABLE, route.map().name());
            pack.verdict(&route.key(), &Verdict::Goto(chain));
            out.extend(pack.into_messages());
        }
        out.extend(packed(&self.removed, Pack::removing));
        out.extend(packed(&self.added, Pack::adding));
        for (v6, route) in &self.old_routes {
            let verdict = Verdict::Goto(route.chain());
            let mut pack = Pack::removing(family(*v6), TABLE, route.map().name());
            pack.verdict(&route.key(), &verdict);
            out.extend(pack.into_messages());
            out.push(delete_chain(family(*v6), TABLE, &route.chain()));
        }
        out
    }

    /// An element that one Service gave up and another took over as it is needs no word.
    fn cancel_out(&mut self) {
        if self.removed.is_empty() || self.added.is_empty() {
            return;
        }
        let gone: HashSet<&Element> = self.removed.iter().collect();
        let both: HashSet<Element> = self
            .added
            .iter()
            .filter(|e| gone.contains(e))
            .cloned()
            .collect();
        if !both.is_empty() {
            self.removed.retain(|element| !both.contains(element));
            self.added.retain(|element| !both.contains(element));
        }
    }
}

type Begin = fn(object::Family, &str, &str) -> Pack;

fn packed(elements: &[Element], begin: Begin) -> Vec<Message> {
    let mut packs: BTreeMap<(bool, Set), Pack> = BTreeMap::new();
    for element in elements {
        let pack = packs
            .entry((element.v6, element.set))
            .or_insert_with(|| begin(family(element.v6), TABLE, element.set.name()));
        pack.element(
            &element.key,
            element.end.as_deref(),
            element.value.as_deref(),
        );
    }
    packs.into_values().flat_map(Pack::into_messages).collect()
}
