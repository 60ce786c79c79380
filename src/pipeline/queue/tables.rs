//! A queue's file: bodies as they are, and beside each what it is, both by order. Everything here blocks.

use redb::{Database, ReadableDatabase as _, StorageError, TableDefinition, TableError};

use super::config::Size;
use crate::otlp::{Batch, Signal};

/// Signal, items and bytes: known without reading the bodies.
const HEADS: TableDefinition<'_, u64, (u8, u64, u64)> = TableDefinition::new("heads");
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");

/// Stores `batches` and forgets `answered`, all or nothing; on disk on return. A file with `quick_repair` is soon open
/// again after a crash however large it is, and slower to write.
pub fn write<'a>(
    database: &Database,
    batches: impl Iterator<Item = (u64, &'a Batch)>,
    answered: &[u64],
    quick_repair: bool,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(quick_repair);
    {
        let (mut heads, mut bodies) = (transaction.open_table(HEADS)?, transaction.open_table(BODIES)?);
        for order in answered {
            heads.remove(order)?;
            bodies.remove(order)?;
        }
        for (order, batch) in batches {
            heads.insert(order, (batch.signal as u8, batch.items as u64, batch.body.len() as u64))?;
            bodies.insert(order, batch.body.as_ref())?;
        }
    }
    Ok(transaction.commit()?)
}

/// Forgets everything from `order` on: of a write that failed, nobody knows what is there.
pub fn forget_from(database: &Database, order: u64) -> Result<(), redb::Error> {
    let mut last = None;
    sizes_from(database, order, |order, _| last = Some(order))?;
    if last.is_none() {
        // A full disk would not take even this.
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.open_table(HEADS)?.retain_in(order.., |_, _| false)?;
    transaction.open_table(BODIES)?.retain_in(order.., |_, _| false)?;
    Ok(transaction.commit()?)
}

/// Shows how much each stored batch is, in order.
pub fn sizes(database: &Database, each: impl FnMut(u64, Size)) -> Result<(), redb::Error> {
    sizes_from(database, 0, each)
}

fn sizes_from(database: &Database, order: u64, mut each: impl FnMut(u64, Size)) -> Result<(), redb::Error> {
    let transaction = database.begin_read()?;
    let heads = match transaction.open_table(HEADS) {
        Ok(heads) => heads,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in heads.range(order..)? {
        let (order, head) = entry?;
        let (_, items, bytes) = head.value();
        each(order.value(), Size { requests: 1, items: items as usize, bytes: bytes as usize });
    }
    Ok(())
}

/// Batches from `order` on, until there are `bytes`; at least one. True if there are no more.
pub fn read(database: &Database, order: u64, bytes: usize) -> Result<(Vec<(u64, Batch)>, bool), redb::Error> {
    let transaction = database.begin_read()?;
    let (heads, bodies) = (transaction.open_table(HEADS)?, transaction.open_table(BODIES)?);
    let (mut found, mut size) = (Vec::new(), 0);
    for entry in heads.range(order..)? {
        let (order, head) = entry?;
        let (signal, items, _) = head.value();
        let damaged = || redb::Error::from(StorageError::Corrupted(format!("batch {} is not whole", order.value())));
        let signal = Signal::ALL.into_iter().find(|known| *known as u8 == signal).ok_or_else(damaged)?;
        let body = bodies.get(order.value())?.ok_or_else(damaged)?;
        let body = bytes::Bytes::copy_from_slice(body.value());
        if size > 0 && size + body.len() > bytes {
            return Ok((found, false));
        }
        size += body.len();
        found.push((order.value(), Batch { signal, body, items: items as usize }));
    }
    Ok((found, true))
}
