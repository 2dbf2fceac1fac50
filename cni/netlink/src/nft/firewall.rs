//! Carries nf_tables transactions and listings to the kernel of one namespace.

use rustix::io::Errno;

use super::element::{self, Element};
use super::object::{self, Family};
use crate::message::Message;
use crate::socket::Refusal;
use crate::wire::{be32, find};
use crate::{Error, Protocol, Result, Socket};

/// The ruleset of one namespace.
#[derive(Debug)]
pub struct Firewall(Socket);

impl Firewall {
    /// Opens the ruleset of the calling thread's namespace.
    ///
    /// # Errors
    /// When the kernel has no netfilter netlink.
    pub fn open() -> Result<Self> {
        Socket::open(Protocol::Netfilter).map(Self)
    }

    /// Applies all messages or none.
    ///
    /// # Errors
    /// The first refusal; `step` names what was being done. With a `generation` that has passed:
    /// see [`Firewall::is_stale`].
    pub fn apply(
        &mut self,
        step: &str,
        generation: Option<u32>,
        messages: Vec<Message>,
    ) -> Result<()> {
        self.0
            .transaction(object::begin(generation), messages, object::end())?
            .map_err(|refusal| error(step, refusal))
    }

    /// Whether `error` says that somebody changed the ruleset since the generation was read.
    #[must_use]
    pub fn is_stale(error: &Error) -> bool {
        error.errno == ERESTART
    }

    /// The ruleset's generation.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn generation(&mut self) -> Result<u32> {
        let step = "read nf_tables generation";
        let objects = self.0.one(step, object::query_generation())?;
        objects
            .iter()
            .find_map(|m| find(m.body.get(4..)?, 1).and_then(be32))
            .ok_or_else(|| Error::new(step, Errno::BADMSG))
    }

    /// The elements of several sets of one table; a set that does not exist has none.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn elements(
        &mut self,
        family: Family,
        table: &str,
        sets: &[&str],
    ) -> Result<Vec<Vec<Element>>> {
        sets.iter()
            .map(|set| {
                let step = format!("list set {table}/{set}");
                match self.0.one(&step, element::list(family, table, set)) {
                    Ok(objects) => Ok(objects.iter().flat_map(element::decode).collect()),
                    Err(error) if error.is_gone() => Ok(Vec::new()),
                    Err(error) => Err(error),
                }
            })
            .collect()
    }

    /// Hands over the elements of a set one by one; a set that does not exist has none.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn for_each_element(
        &mut self,
        (family, table, set): (Family, &str, &str),
        mut each: impl FnMut(element::View<'_>),
    ) -> Result<()> {
        let step = format!("list set {table}/{set}");
        let message = element::list(family, table, set);
        let listed = self.0.stream(&step, &message, |object| {
            element::views(object).for_each(&mut each);
        });
        match listed {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        }
    }

    /// Names of all chains of a table.
    ///
    /// # Errors
    /// When the kernel refuses the listing.
    pub fn chains(&mut self, family: Family, table: &str) -> Result<Vec<String>> {
        let objects = self.0.one("list chains", object::list_chains(family))?;
        Ok(objects
            .iter()
            .filter_map(object::decode_chain)
            .filter(|(owner, _)| owner == table)
            .map(|(_, chain)| chain)
            .collect())
    }

    /// Removes a table with all in it; nothing happens where it does not exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn delete_table(&mut self, family: Family, table: &str) -> Result<()> {
        let step = format!("delete table {table}");
        match self.apply(&step, None, vec![object::delete_table(family, table)]) {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        }
    }
}

const ERESTART: Errno = Errno::from_raw_os_error(85);

fn error(step: &str, refusal: Refusal) -> Error {
    match refusal.index {
        Some(index) => Error::new(format!("{step} (message {index})"), refusal.errno),
        None => Error::new(step, refusal.errno),
    }
}
