//! Holds and releases an owner's elements in our nftables tables.
//!
//! Guarantees: claims are held all or none; releasing touches only elements whose comment is the
//! owner's, checked and removed in one generation of the ruleset, so nobody's newer claim is lost.

use keelson_netlink::nft::{Element, Firewall, element};
use keelson_netlink::{Errno, Error, Message};

use crate::owner::{network_key, port_network};
use crate::plan::claim::{Claim, Table, first_missing};
use crate::plan::ruleset::{ADDRESSES, FRAMES};
use crate::wire::error_code::{Code, Failure, Outcome};

const ATTEMPTS: u32 = 200;
const ELEMENTS_A_MESSAGE: usize = 128;

/// Holds all claims; an element with the same key is replaced.
///
/// # Errors
/// When the kernel refuses.
pub fn hold(table: &Table, claims: &[Claim]) -> Outcome<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let mut firewall = Firewall::open()?;
    let step = format!("add elements to table {}", table.name);
    match firewall.apply(&step, None, additions(table, claims)) {
        Ok(()) => return Ok(()),
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    in_one_generation(
        &mut firewall,
        &step,
        |held| {
            let mut messages = (table.skeleton)();
            messages.extend(claims.iter().flat_map(|claim| claim.needs.clone()));
            let in_the_way = |set: &str, old: &Element| {
                claims
                    .iter()
                    .any(|new| new.set == set && new.element.key == old.key)
            };
            messages.extend(removals(table, held, in_the_way));
            messages.extend(additions(table, claims));
            messages
        },
        table,
    )
}

/// Removes all elements whose comment is `owned`; a table that is not there has none.
///
/// # Errors
/// When the kernel refuses.
pub fn release(table: &Table, owned: impl Fn(&str) -> bool) -> Outcome<()> {
    let mut firewall = Firewall::open()?;
    let step = format!("remove elements from table {}", table.name);
    let is_owned = |_: &str, old: &Element| owned(&old.comment);
    in_one_generation(
        &mut firewall,
        &step,
        |held| removals(table, held, is_owned),
        table,
    )
}

/// Whether all claims are held.
///
/// # Errors
/// Naming the first that is not.
pub fn check(table: &Table, claims: &[Claim]) -> Outcome<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let held = held(&mut Firewall::open()?, table)?;
    match first_missing(claims, &held) {
        None => Ok(()),
        Some(claim) => Err(Failure::new(
            Code::Internal,
            format!(
                "element of {} is gone from set {} of table {}",
                claim.element.comment, claim.set, table.name
            ),
        )),
    }
}

/// Removes a whole table; nothing happens where it is not there.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(table: &Table) -> Outcome<()> {
    Ok(Firewall::open()?.delete_table(table.family, table.name)?)
}

/// Gives back all that containers of `network` hold, and removes the tables that nobody else uses.
/// For a network that is taken down with its containers gone.
///
/// # Errors
/// When the kernel refuses.
pub fn forget_network(network: &str) -> Outcome<()> {
    let keys = [network_key(network), network_key(&port_network(network))];
    for table in [&ADDRESSES, &FRAMES] {
        release(table, |comment| {
            keys.iter().any(|key| comment.starts_with(key))
        })?;
        let mut firewall = Firewall::open()?;
        let in_use = held(&mut firewall, table)?
            .iter()
            .any(|(_, elements)| !elements.is_empty());
        if !in_use {
            firewall.delete_table(table.family, table.name)?;
        }
    }
    Ok(())
}

type Held = Vec<(&'static str, Vec<Element>)>;

fn held(firewall: &mut Firewall, table: &Table) -> Result<Held, Error> {
    let lists = firewall.elements(table.family, table.name, table.sets)?;
    Ok(table.sets.iter().copied().zip(lists).collect())
}

/// Reads the table, lets `change` decide, applies it; again where somebody changed the ruleset
/// between reading and applying.
fn in_one_generation(
    firewall: &mut Firewall,
    step: &str,
    change: impl Fn(&Held) -> Vec<Message>,
    table: &Table,
) -> Outcome<()> {
    for _ in 0..ATTEMPTS {
        let generation = firewall.generation()?;
        let messages = change(&held(firewall, table)?);
        match firewall.apply(step, Some(generation), messages) {
            Err(error) if Firewall::is_stale(&error) => {}
            other => return Ok(other?),
        }
    }
    let what = format!("{step}: the ruleset kept changing");
    Err(Failure::new(Code::TryAgain, what))
}

fn additions(table: &Table, claims: &[Claim]) -> Vec<Message> {
    let mut out = Vec::new();
    for set in table.sets {
        let own: Vec<Element> = claims
            .iter()
            .filter(|claim| claim.set == *set)
            .map(|claim| claim.element.clone())
            .collect();
        for chunk in own.chunks(ELEMENTS_A_MESSAGE) {
            out.push(element::add(table.family, table.name, set, chunk, true));
        }
    }
    out
}

fn removals(table: &Table, held: &Held, which: impl Fn(&str, &Element) -> bool) -> Vec<Message> {
    let mut out = Vec::new();
    for (set, elements) in held {
        let chosen: Vec<Element> = elements.iter().filter(|e| which(set, e)).cloned().collect();
        for chunk in chosen.chunks(ELEMENTS_A_MESSAGE) {
            out.push(element::delete(table.family, table.name, set, chunk));
        }
    }
    out
}

/// Whether the kernel has nf_tables at all.
///
/// # Errors
/// Why not.
pub fn available() -> Outcome<()> {
    Firewall::open()?.generation()?;
    Ok(())
}
