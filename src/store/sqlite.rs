//! The store in a file: survives restarts and `kill -9`, and a SQLite shell can look into it.
//!
//! One thread owns the connection and takes orders from a queue; the asking task
//! waits for its answer, never for the disk itself. The file is in WAL mode. With
//! `synchronous = NORMAL` a commit survives the end of the process, however it
//! ends; with FULL (`durability: strict`) also the machine's.
//!
//! Several processes may use one file (`tollgate usage` beside a gateway). Counts are
//! added, never set, so none is lost; what each gateway lets pass is still its own
//! business: limits that several gateways share take Redis.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::memory::KEPT_DAYS;
use super::{Day, Grant, Record, Store, StoreError, Used, Waiting};

const NAME: &str = "sqlite";
/// Orders that may wait; more fail at once.
const QUEUE: usize = 1024;
/// The file's layout, in `user_version`.
const LAYOUT: i32 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage (
    day INTEGER NOT NULL, plan TEXT NOT NULL, key TEXT NOT NULL,
    period INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (day, plan, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grants (
    period INTEGER NOT NULL, plan TEXT NOT NULL, key TEXT NOT NULL, extra INTEGER NOT NULL,
    PRIMARY KEY (period, plan, key)
) WITHOUT ROWID;
";

type Order = Box<dyn FnOnce(&mut Connection) + Send>;

/// A SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// The thread receives; it ends when this is dropped or taken.
    orders: std::sync::Mutex<Option<SyncSender<Order>>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the file, or makes it and its folder.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or is no such file.
    pub fn open(path: &Path, strict: bool) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let connection = Connection::open(path).map_err(|error| failed(&error))?;
        prepare(&connection, strict).map_err(|error| failed(&error))?;
        let (orders, received) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("tollgate-sqlite".to_owned())
            .spawn(move || work(connection, &received))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            path: path.to_owned(),
            orders: std::sync::Mutex::new(Some(orders)),
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the thread do something.
    fn order<'s, T: Send + 'static>(
        &'s self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Waiting<'s, T> {
        let (answer, answered) = oneshot::channel();
        let order: Order = Box::new(move |connection| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(job(connection).map_err(|error| failed(&error)));
        });
        let sent = match &*self
            .orders
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
        {
            Some(orders) => orders.try_send(order).map_err(|error| match error {
                TrySendError::Full(_) => failed(&"too many orders wait"),
                TrySendError::Disconnected(_) => failed(&"its thread has ended"),
            }),
            None => Err(failed(&"it is closed")),
        };
        Box::pin(async move {
            sent?;
            answered
                .await
                .unwrap_or_else(|_| Err(failed(&"its thread has ended")))
        })
    }
}

fn failed(cause: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed {
        store: NAME,
        cause: cause.to_string(),
    }
}

fn prepare(connection: &Connection, strict: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = if strict { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let layout: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if layout > LAYOUT {
        let problem = format!("the file is of a newer tollgate (layout {layout}, known {LAYOUT})");
        return Err(rusqlite::Error::ToSqlConversionFailure(problem.into()));
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", LAYOUT)
}

/// The thread: orders in their sequence until nobody can send any more.
fn work(mut connection: Connection, orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        order(&mut connection);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the SQLite file was not closed well");
    }
}

fn used_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Used> {
    Ok(Used {
        plan: row.get(0)?,
        key: row.get(1)?,
        day: Day(row.get(2)?),
        period: Day(row.get(3)?),
        count: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
    })
}

impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn records(&self) -> Waiting<'_, Vec<Record>> {
        self.order(|connection| {
            connection
                .prepare_cached("SELECT kind, id, body FROM record ORDER BY kind, id")?
                .query_map([], |row| {
                    Ok(Record {
                        kind: row.get(0)?,
                        id: row.get(1)?,
                        body: Some(row.get(2)?),
                    })
                })?
                .collect()
        })
    }

    fn write(&self, records: Vec<Record>) -> Waiting<'_, ()> {
        self.order(move |connection| {
            let transaction = connection.transaction()?;
            for record in &records {
                match &record.body {
                    Some(body) => transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO record (kind, id, body) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![record.kind, record.id, body])?,
                    None => transaction
                        .prepare_cached("DELETE FROM record WHERE kind = ?1 AND id = ?2")?
                        .execute(params![record.kind, record.id])?,
                };
            }
            transaction.commit()
        })
    }

    fn add(&self, used: Vec<Used>) -> Waiting<'_, ()> {
        self.order(move |connection| {
            let transaction = connection.transaction()?;
            for used in &used {
                let count = i64::try_from(used.count).unwrap_or(i64::MAX);
                transaction
                    .prepare_cached(
                        "INSERT INTO usage (plan, key, day, period, used) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (day, plan, key)
                         DO UPDATE SET used = used + excluded.used, period = excluded.period",
                    )?
                    .execute(params![used.plan, used.key, used.day.0, used.period.0, count])?;
            }
            let newest: Option<i32> = transaction
                .prepare_cached("SELECT max(day) FROM usage")?
                .query_row([], |row| row.get(0))
                .optional()?
                .flatten();
            if let Some(newest) = newest {
                let oldest = newest - KEPT_DAYS;
                transaction
                    .prepare_cached("DELETE FROM usage WHERE day < ?1")?
                    .execute([oldest])?;
                transaction
                    .prepare_cached("DELETE FROM grants WHERE period < ?1")?
                    .execute([oldest])?;
            }
            transaction.commit()
        })
    }

    fn used<'s>(&'s self, plan: Option<&'s str>, from: Day, to: Day) -> Waiting<'s, Vec<Used>> {
        let plan = plan.map(str::to_owned);
        self.order(move |connection| {
            connection
                .prepare_cached(
                    "SELECT plan, key, day, period, used FROM usage
                     WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR plan = ?3)
                     ORDER BY day, plan, key",
                )?
                .query_map(params![from.0, to.0, plan], used_row)?
                .collect()
        })
    }

    fn grant(&self, grant: Grant) -> Waiting<'_, ()> {
        self.order(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO grants (period, plan, key, extra) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![grant.period.0, grant.plan, grant.key, grant.extra])
                .map(|_| ())
        })
    }

    fn grants(&self, since: Day) -> Waiting<'_, Vec<Grant>> {
        self.order(move |connection| {
            connection
                .prepare_cached("SELECT plan, key, period, extra FROM grants WHERE period >= ?1")?
                .query_map([since.0], |row| {
                    Ok(Grant {
                        plan: row.get(0)?,
                        key: row.get(1)?,
                        period: Day(row.get(2)?),
                        extra: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    fn close(&self) -> Waiting<'_, ()> {
        drop(
            self.orders
                .lock()
                .unwrap_or_else(|poison| poison.into_inner())
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take();
        Box::pin(async move {
            let Some(thread) = thread else { return Ok(()) };
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            match joined {
                Ok(Ok(())) => Ok(()),
                _ => Err(failed(&"its thread panicked")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(day: i32, key: &str, count: u64) -> Used {
        Used {
            plan: "p".to_owned(),
            key: key.to_owned(),
            day: Day(day),
            period: Day(day),
            count,
        }
    }

    #[tokio::test]
    async fn a_file_remembers_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.db");
        let record = |id: &str, body: Option<&str>| Record {
            kind: "key".to_owned(),
            id: id.to_owned(),
            body: body.map(str::to_owned),
        };
        let store = SqliteStore::open(&path, false).unwrap();
        store
            .write(vec![record("a", Some("1")), record("b", Some("2"))])
            .await
            .unwrap();
        store.write(vec![record("a", None)]).await.unwrap();
        store.add(vec![used(7, "k", 2)]).await.unwrap();
        store
            .add(vec![used(7, "k", 3), used(8, "k", 1)])
            .await
            .unwrap();
        store
            .grant(Grant {
                plan: "p".into(),
                key: "k".into(),
                period: Day(8),
                extra: -3,
            })
            .await
            .unwrap();
        store.close().await.unwrap();

        let store = SqliteStore::open(&path, true).unwrap();

        assert_eq!(store.records().await.unwrap(), [record("b", Some("2"))]);
        let found = store.used(Some("p"), Day(7), Day(7)).await.unwrap();
        assert_eq!(found, [used(7, "k", 5)]);
        assert_eq!(store.used(None, Day(0), Day(9)).await.unwrap().len(), 2);
        assert_eq!(store.grants(Day(8)).await.unwrap()[0].extra, -3);
        assert!(store.grants(Day(9)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn two_processes_add_to_one_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let (one, other) = (
            SqliteStore::open(&path, false).unwrap(),
            SqliteStore::open(&path, false).unwrap(),
        );

        for _ in 0..5 {
            one.add(vec![used(7, "k", 2)]).await.unwrap();
            other.add(vec![used(7, "k", 1)]).await.unwrap();
        }

        assert_eq!(
            one.used(None, Day(7), Day(7)).await.unwrap(),
            [used(7, "k", 15)]
        );
    }

    #[tokio::test]
    async fn a_closed_store_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("s.db"), false).unwrap();
        store.close().await.unwrap();

        let error = store.records().await.unwrap_err();

        assert!(error.to_string().contains("closed"), "{error}");
    }
}
