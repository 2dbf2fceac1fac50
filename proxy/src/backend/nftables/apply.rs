//! Carries messages to the kernel, and knows whether somebody else wrote.
//!
//! Guarantees: every change is one transaction, so that a crash leaves the old or the new rules; a
//! restart reads the table, and writes only what differs. Other tables are never looked at.

use keelson_netlink::nft::object::Family;
use keelson_netlink::nft::{Firewall, Pack};

use super::affinity::Bonds;
use super::layout::{SETS, Set, TABLE, family};
use super::mirror::{Found, Mirror};
use super::render::Element;
use crate::backend::{Applied, Families};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::Policy;

const ATTEMPTS: u32 = 20;

/// Why the rules could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum NftablesError {
    /// The kernel refused, or has no nf_tables.
    #[error(transparent)]
    Kernel(#[from] keelson_netlink::Error),
    /// The ruleset kept changing while we read it.
    #[error("read table {TABLE}: the ruleset kept changing, {ATTEMPTS} times in a row")]
    Unsteady,
}

/// The nftables backend.
#[derive(Debug)]
pub struct Nftables {
    firewall: Firewall,
    mirror: Mirror,
    families: Families,
    /// The ruleset's generation after our last word; `None` where the table has to be read.
    generation: Option<u32>,
}

impl Nftables {
    /// Opens the ruleset of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn open(families: Families) -> Result<Self, NftablesError> {
        let mut firewall = Firewall::open()?;
        firewall.generation()?;
        Ok(Self {
            firewall,
            mirror: Mirror::new(families),
            families,
            generation: None,
        })
    }

    /// Applies a change to a table that we know; reads and mends it first where we do not.
    /// `rules` is the state after the change.
    ///
    /// # Errors
    /// When the kernel refuses. The table is as before then, and is read at the next call.
    pub fn apply(&mut self, rules: &RuleSet, delta: &RuleDelta) -> Result<Applied, NftablesError> {
        let Some(known) = self.generation.take() else {
            return self.adopt(rules);
        };
        let Some(messages) = self.mirror.change(delta, rules.node()) else {
            return self.rebuild(rules);
        };
        let applied = Applied {
            messages: messages.len(),
            full: false,
        };
        self.firewall.apply("change services", None, messages)?;
        self.generation = Some(known.wrapping_add(u32::from(applied.messages > 0)));
        self.forget_clients(&Bonds::after(delta))?;
        Ok(applied)
    }

    /// Whether somebody wrote to any table since our last word: then [`Nftables::adopt`] finds out
    /// whether it was ours.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_in_doubt(&mut self) -> Result<bool, NftablesError> {
        let now = self.firewall.generation()?;
        Ok(self.generation != Some(now))
    }

    /// Reads the table and writes what differs from `rules`: nothing, where it is all there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn adopt(&mut self, rules: &RuleSet) -> Result<Applied, NftablesError> {
        self.generation = None;
        for _ in 0..ATTEMPTS {
            let generation = self.firewall.generation()?;
            let found = self.find()?;
            if self.firewall.generation()? != generation {
                continue;
            }
            let Some(messages) = self.mirror.adopt(rules, found) else {
                return self.rebuild(rules);
            };
            let count = messages.len();
            match self
                .firewall
                .apply("mend services", Some(generation), messages)
            {
                Err(error) if Firewall::is_stale(&error) => continue,
                outcome => outcome?,
            }
            self.generation = Some(generation.wrapping_add(u32::from(count > 0)));
            self.forget_clients(&Bonds::of(rules))?;
            return Ok(Applied {
                messages: count,
                full: true,
            });
        }
        Err(NftablesError::Unsteady)
    }

    /// How many messages it would take to make the table what `rules` say; nothing is written.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn differs(&mut self, rules: &RuleSet) -> Result<usize, NftablesError> {
        let found = self.find()?;
        let mut mirror = Mirror::new(self.families);
        let messages = match mirror.adopt(rules, found) {
            Some(messages) => messages,
            None => mirror.rebuild(rules),
        };
        Ok(messages.len())
    }

    /// Removes the tables.
    ///
    /// # Errors
    /// When the kernel refuses; that they are not there is no error.
    pub fn remove(&mut self) -> Result<(), NftablesError> {
        self.generation = None;
        for family in [Family::Ip, Family::Ip6] {
            self.firewall.delete_table(family, TABLE)?;
        }
        Ok(())
    }

    fn rebuild(&mut self, rules: &RuleSet) -> Result<Applied, NftablesError> {
        let messages = self.mirror.rebuild(rules);
        let count = messages.len();
        self.firewall.apply("build services", None, messages)?;
        self.generation = Some(self.firewall.generation()?);
        Ok(Applied {
            messages: count,
            full: true,
        })
    }

    /// Forgets which clients stay with endpoints that are gone. An element may time out at any
    /// moment, and then the others are tried again.
    fn forget_clients(&mut self, bonds: &Bonds) -> Result<(), NftablesError> {
        let managed = self.families;
        for v6 in bonds.families().filter(|v6| managed.has(*v6)) {
            for policy in [Policy::Cluster, Policy::Local] {
                for _ in 0..ATTEMPTS {
                    if self.forget_clients_once(bonds, v6, policy)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether it went through.
    fn forget_clients_once(
        &mut self,
        bonds: &Bonds,
        v6: bool,
        policy: Policy,
    ) -> Result<bool, NftablesError> {
        let set = match policy {
            Policy::Cluster => Set::Affinity,
            Policy::Local => Set::LocalAffinity,
        };
        let place = (family(v6), TABLE, set.name());
        let mut pack = Pack::removing(place.0, place.1, place.2);
        self.firewall.for_each_element(place, |element| {
            if bonds.is_broken(policy, element.key, element.value.unwrap_or_default()) {
                pack.element(element.key, None, None);
            }
        })?;
        let messages = pack.into_messages();
        let writes = !messages.is_empty();
        match self.firewall.apply("forget clients", None, messages) {
            Err(error) if error.is_gone() => Ok(false),
            outcome => {
                outcome?;
                self.count_write(writes);
                Ok(true)
            }
        }
    }

    fn count_write(&mut self, written: bool) {
        let next = |generation: u32| generation.wrapping_add(u32::from(written));
        self.generation = self.generation.map(next);
    }

    fn find(&mut self) -> Result<Found, NftablesError> {
        let mut found = Found::default();
        for v6 in self.families.each() {
            let chains = self.firewall.chains(family(v6), TABLE)?;
            found
                .chains
                .extend(chains.into_iter().map(|chain| (v6, chain)));
            for set in SETS {
                self.find_elements(v6, set, &mut found)?;
            }
        }
        Ok(found)
    }

    fn find_elements(
        &mut self,
        v6: bool,
        set: Set,
        found: &mut Found,
    ) -> Result<(), NftablesError> {
        let place = (family(v6), TABLE, set.name());
        if matches!(set, Set::Routes | Set::Picks) {
            self.firewall.for_each_element(place, |element| {
                found.routes.insert((v6, element.key.to_vec()));
            })?;
        } else if set.is_rendered() {
            self.firewall.for_each_element(place, |element| {
                found.elements.push(Element {
                    v6,
                    set,
                    key: element.key.to_vec(),
                    end: element.end.map(<[u8]>::to_vec),
                    value: element.value.map(<[u8]>::to_vec),
                });
            })?;
        }
        Ok(())
    }
}
