//! Records in the tables: written, put together and removed piece by piece. It must not know what is
//! in a record.

use std::borrow::Cow;

use redb::{ReadableTable, Table};

use super::fault::Fault;
use super::layout;

/// Writes an encoded record.
pub fn insert(
    records: &mut Table<'_, u64, &'static [u8]>,
    rest: &mut Table<'_, (u64, u16), &'static [u8]>,
    revision: u64,
    record: &[u8],
) -> Result<(), Fault> {
    let mut pieces = layout::pieces(record);
    records.insert(revision, pieces.next().unwrap_or_default())?;
    for (number, piece) in (0_u16..).zip(pieces) {
        rest.insert((revision, number), piece)?;
    }
    Ok(())
}

/// All of the record that begins with `head`.
pub fn join<'a>(
    rest: &impl ReadableTable<(u64, u16), &'static [u8]>,
    revision: u64,
    head: &'a [u8],
) -> Result<Cow<'a, [u8]>, Fault> {
    if !layout::is_split(head) {
        return Ok(Cow::Borrowed(head));
    }
    // Most records that are cut have three pieces.
    let mut whole = Vec::with_capacity(3 * head.len());
    whole.extend_from_slice(head);
    for piece in rest.range((revision, 0)..=(revision, u16::MAX))? {
        whole.extend_from_slice(piece?.1.value());
    }
    Ok(Cow::Owned(whole))
}

/// Removes a record and returns it, if it was there.
pub fn remove(
    records: &mut Table<'_, u64, &'static [u8]>,
    rest: &mut Table<'_, (u64, u16), &'static [u8]>,
    revision: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let removed = records.remove(revision)?;
    let Some(head) = removed.map(|head| head.value().to_vec()) else {
        return Ok(None);
    };
    let whole = join(rest, revision, &head)?.into_owned();
    for number in (0_u16..).take(layout::pieces(&whole).count() - 1) {
        rest.remove((revision, number))?;
    }
    Ok(Some(whole))
}
