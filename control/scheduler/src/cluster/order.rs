//! In which order hosts are looked at: one of each zone in turn, so that a part of the list is as
//! mixed as the whole.

use crate::intern::Word;
use crate::model::Node;

/// Region and zone.
type Zone = (Option<Word>, Option<Word>);

/// Places of hosts in order, made anew when it is asked for after a change.
#[derive(Debug, Default)]
pub struct Order {
    zones: Vec<(Zone, Vec<usize>)>,
    all: Vec<usize>,
}

impl Order {
    /// The order.
    #[must_use]
    pub fn hosts(&self) -> &[usize] {
        &self.all
    }

    /// A host comes. New ones in the one zone that most clusters have cost nothing.
    pub fn add(&mut self, at: usize, node: &Node) {
        let (region, zone) = node.zone();
        let zone = (region.cloned(), zone.cloned());
        match self.zones.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, hosts)) => hosts.push(at),
            None => self.zones.push((zone, vec![at])),
        }
        if self.zones.len() == 1 {
            self.all.push(at);
        } else {
            self.interleave();
        }
    }

    /// A host goes.
    pub fn remove(&mut self, at: usize) {
        for (_, hosts) in &mut self.zones {
            hosts.retain(|host| *host != at);
        }
        self.zones.retain(|(_, hosts)| !hosts.is_empty());
        self.interleave();
    }

    /// A host has another place.
    pub fn rename(&mut self, from: usize, to: usize) {
        let zones = self.zones.iter_mut().flat_map(|(_, hosts)| hosts);
        for host in zones.chain(&mut self.all) {
            if *host == from {
                *host = to;
            }
        }
    }

    fn interleave(&mut self) {
        self.all.clear();
        let longest = self.zones.iter().map(|(_, hosts)| hosts.len()).max();
        for turn in 0..longest.unwrap_or(0) {
            let turn = self.zones.iter().filter_map(|(_, hosts)| hosts.get(turn));
            self.all.extend(turn);
        }
    }
}
