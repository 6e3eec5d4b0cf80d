//! The ledger's file: opening it, writing what the proxies report, reading single records.
//!
//! One connection writes. Whoever wants to write puts the lines down and takes the pen; who gets it writes for all that
//! wait, in one transaction. So a hundred proxies reporting at once share one flush to the disk, without a task or a timer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::Mutex;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, QueryBuilder, Row, Sqlite, SqliteConnection};
use tokio::sync::oneshot;

use super::error::LedgerError;
use super::intake::{self, Line};
use super::record::RequestRecord;
use super::rollup::{self, TagSets};

/// The schema that this build writes.
const SCHEMA: i64 = 1;
/// Lines of one transaction; more wait for the next one.
const MAX_LINES_PER_TRANSACTION: usize = 8_192;
/// Binds per row times this stays below SQLite's 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;
/// Process starts whose row ids are remembered.
const REMEMBERED_BOOTS: usize = 16_384;
const READERS: u32 = 4;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS boots (
        id INTEGER PRIMARY KEY, proxy TEXT NOT NULL, boot TEXT NOT NULL, UNIQUE (proxy, boot)) STRICT;
    CREATE TABLE IF NOT EXISTS records (
        id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, lane INTEGER NOT NULL, sequence INTEGER NOT NULL,
        request_id TEXT NOT NULL, received_ms INTEGER NOT NULL, body TEXT NOT NULL,
        UNIQUE (boot, lane, sequence)) STRICT;
    CREATE INDEX IF NOT EXISTS records_by_request ON records (request_id);
    CREATE TABLE IF NOT EXISTS floors (
        boot INTEGER NOT NULL, lane INTEGER NOT NULL, sequence INTEGER NOT NULL,
        PRIMARY KEY (boot, lane)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS usage_hourly (
        hour INTEGER NOT NULL, organisation TEXT NOT NULL, team TEXT NOT NULL, application TEXT NOT NULL,
        key TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL, policy_version INTEGER NOT NULL, tags TEXT NOT NULL,
        calls INTEGER NOT NULL, errors INTEGER NOT NULL, input INTEGER NOT NULL, cache_read INTEGER NOT NULL,
        cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL, unpriced_calls INTEGER NOT NULL, estimated_calls INTEGER NOT NULL,
        PRIMARY KEY (hour, organisation, team, application, key, model, provider, policy_version, tags)) STRICT, WITHOUT ROWID;
";

/// Where the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerPlace {
    /// A file of its own.
    File(PathBuf),
    /// Gone with the process; for tests and throw-away starts.
    Memory,
}

/// The ledger. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

/// "Everything of this boot and lane up to and including this sequence is safe."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The proxy's process start.
    pub boot_id: String,
    /// The lane of its spool.
    pub lane: u32,
    /// The place in that lane.
    pub sequence: u64,
}

/// What became of one report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What to tell the proxy.
    pub acks: Vec<Ack>,
    /// Records whose numbers or ids cannot be; acknowledged, because sending them again would not help.
    pub refused: u64,
}

/// What the ledger did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records counted.
    pub counted: u64,
    /// Records that had been counted before.
    pub repeated: u64,
    /// Records refused because they cannot be true.
    pub refused: u64,
    /// Transactions that failed, each leaving its records with the proxies.
    pub failed_writes: u64,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Clock,
    writer: tokio::sync::Mutex<Writer>,
    waiting: Mutex<Vec<Waiting>>,
    /// `None` in memory, where the writer's connection is the only one.
    readers: Option<SqlitePool>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    counted: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
    failed_writes: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    lines: Arc<Vec<Line>>,
    done: oneshot::Sender<Result<(), LedgerError>>,
}

/// The pen: the one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    /// Set while a transaction is open; still set at the next use when the future that wrote was dropped.
    is_open: bool,
    boots: HashMap<(String, String), i64>,
    tag_sets: TagSets,
}

impl Ledger {
    /// Opens the ledger, creating it when missing.
    pub async fn open(place: &LedgerPlace, clock: Clock) -> Result<Self, LedgerError> {
        let path = match place {
            LedgerPlace::File(path) => path.clone(),
            LedgerPlace::Memory => PathBuf::from(":memory:"),
        };
        let options = options(place);
        let failed = |source| LedgerError::from_sqlx(&path, source);
        let mut connection = options.connect().await.map_err(failed)?;
        prepare(&path, &mut connection).await?;
        let readers = match place {
            LedgerPlace::Memory => None,
            LedgerPlace::File(_) => Some(
                SqlitePoolOptions::new()
                    .min_connections(0)
                    .max_connections(READERS)
                    .acquire_timeout(Duration::from_secs(10))
                    .connect_lazy_with(options.pragma("query_only", "on")),
            ),
        };
        let writer =
            Writer { connection, is_open: false, boots: HashMap::new(), tag_sets: TagSets::default() };
        let shared = Shared {
            path,
            clock,
            writer: tokio::sync::Mutex::new(writer),
            waiting: Mutex::default(),
            readers,
            counters: Counters::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Counts the records, each once, and returns when they are safe. On an error nothing was counted and nothing may be acknowledged.
    pub async fn accept(
        &self,
        proxy_id: &str,
        records: Vec<proto::CallRecord>,
    ) -> Result<Accepted, LedgerError> {
        let mut safe: BTreeMap<(String, u32), u64> = BTreeMap::new();
        let mut lines = Vec::with_capacity(records.len());
        let mut refused = 0;
        for record in records {
            let sequence = safe.entry((record.boot_id.clone(), record.lane)).or_default();
            *sequence = record.sequence.max(*sequence);
            match intake::line(proxy_id, record) {
                Ok(line) => lines.push(line),
                Err(reason) => {
                    refused += 1;
                    tracing::warn!(proxy.id = proxy_id, reason, "refused a call record that cannot be true");
                }
            }
        }
        self.shared.counters.refused.fetch_add(refused, Ordering::Relaxed);
        if !lines.is_empty() {
            self.write(Arc::new(lines)).await?;
        }
        let acks =
            safe.into_iter().map(|((boot_id, lane), sequence)| Ack { boot_id, lane, sequence }).collect();
        Ok(Accepted { acks, refused })
    }

    /// The decision record of one call; the newest one if an id was used twice.
    pub async fn request(&self, request_id: &str) -> Result<Option<RequestRecord>, LedgerError> {
        const SQL: &str = "SELECT body FROM records WHERE request_id = ? ORDER BY id DESC LIMIT 1";
        let query = sqlx::query_scalar::<_, String>(SQL).bind(request_id);
        let body = match &self.shared.readers {
            Some(readers) => query.fetch_optional(readers).await,
            None => query.fetch_optional(&mut self.pen().await.connection).await,
        };
        let Some(body) = body.map_err(|source| self.failed(source))? else { return Ok(None) };
        serde_json::from_str(&body).map(Some).map_err(|error| self.failed(sqlx::Error::Decode(error.into())))
    }

    /// What the ledger did since it was opened.
    pub fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        Counts {
            counted: counters.counted.load(Ordering::Relaxed),
            repeated: counters.repeated.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            failed_writes: counters.failed_writes.load(Ordering::Relaxed),
        }
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(super) fn readers(&self) -> Option<&SqlitePool> {
        self.shared.readers.as_ref()
    }

    pub(super) async fn pen(&self) -> tokio::sync::MutexGuard<'_, Writer> {
        self.shared.writer.lock().await
    }

    pub(super) fn failed(&self, source: sqlx::Error) -> LedgerError {
        LedgerError::from_sqlx(&self.shared.path, source)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    async fn write(&self, lines: Arc<Vec<Line>>) -> Result<(), LedgerError> {
        loop {
            let (done, mut result) = oneshot::channel();
            self.shared.waiting.lock().push(Waiting { lines: Arc::clone(&lines), done });
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut result => match outcome {
                        Ok(result) => return result,
                        // Who had the pen was cancelled in the middle; its transaction is undone, so write again.
                        Err(_cancelled) => break,
                    },
                    mut writer = self.shared.writer.lock() => self.write_waiting(&mut writer).await,
                }
            }
        }
    }

    /// Writes what waits, up to the bound of one transaction, and tells everyone.
    async fn write_waiting(&self, writer: &mut Writer) {
        let batch = self.take_waiting();
        if batch.is_empty() {
            return;
        }
        let lines: Vec<&Line> = batch.iter().flat_map(|waiting| waiting.lines.iter()).collect();
        let total = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let now_ms = i64::try_from(self.shared.clock.unix_ms()).unwrap_or(i64::MAX);
        let counters = &self.shared.counters;
        let result = match writer.transaction(&lines, now_ms).await {
            Ok(counted) => {
                counters.counted.fetch_add(counted, Ordering::Relaxed);
                counters.repeated.fetch_add(total.saturating_sub(counted), Ordering::Relaxed);
                Ok(())
            }
            Err(source) => {
                counters.failed_writes.fetch_add(1, Ordering::Relaxed);
                Err(self.failed(source))
            }
        };
        for waiting in batch {
            // Whoever stopped waiting will send the records again; they are found to be repeated then.
            let _gone = waiting.done.send(result.clone()).is_err();
        }
    }

    fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = self.shared.waiting.lock();
        let mut lines = 0;
        let fitting = waiting.iter().take_while(|next| {
            let fits = lines == 0 || lines + next.lines.len() <= MAX_LINES_PER_TRANSACTION;
            lines += next.lines.len();
            fits
        });
        let count = fitting.count();
        waiting.drain(..count).collect()
    }
}

impl Writer {
    /// Inserts the lines that are new and adds them to the sums; returns how many were new.
    async fn transaction(&mut self, lines: &[&Line], now_ms: i64) -> Result<u64, sqlx::Error> {
        self.begin().await?;
        match self.insert_and_add(lines, now_ms).await {
            Ok(counted) => {
                self.commit().await?;
                Ok(counted)
            }
            Err(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if self.is_open {
            self.undo().await;
        }
        // Set first: the statement takes effect even when this future is dropped while it runs.
        self.is_open = true;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        let committed = sqlx::query("COMMIT").execute(&mut self.connection).await;
        if committed.is_err() {
            self.undo().await;
        }
        self.is_open = false;
        committed.map(|_done| ())
    }

    /// Rolls back and forgets what was remembered inside the transaction.
    pub(super) async fn undo(&mut self) {
        // SQLite may have rolled back by itself (a full disk); then this statement has nothing to do and says so.
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            tracing::debug!(%error, "the ledger's transaction was undone already");
        }
        self.is_open = false;
        self.boots.clear();
        self.tag_sets.forget();
    }

    async fn insert_and_add(&mut self, lines: &[&Line], now_ms: i64) -> Result<u64, sqlx::Error> {
        let mut new: HashMap<(i64, i64, i64), &Line> = HashMap::with_capacity(lines.len());
        let mut floors: HashMap<(i64, i64), i64> = HashMap::new();
        for line in lines {
            let boot = self.boot(line).await?;
            let floor = self.floor(&mut floors, boot, line.lane).await?;
            if line.sequence > floor {
                new.entry((boot, line.lane, line.sequence)).or_insert(line);
            }
        }
        let rows: Vec<(i64, &Line)> = new.iter().map(|((boot, ..), line)| (*boot, *line)).collect();
        let mut inserted: HashSet<(i64, i64, i64)> = HashSet::with_capacity(rows.len());
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            insert(&mut self.connection, chunk, now_ms, &mut inserted).await?;
        }
        new.retain(|place, _line| inserted.contains(place));
        let counted: Vec<&Line> = new.into_values().collect();
        rollup::add(&mut self.connection, &mut self.tag_sets, &counted).await?;
        Ok(u64::try_from(counted.len()).unwrap_or(u64::MAX))
    }

    /// The row id of a proxy's process start.
    async fn boot(&mut self, line: &Line) -> Result<i64, sqlx::Error> {
        let boot = (line.proxy_id.clone(), line.boot_id.clone());
        if let Some(id) = self.boots.get(&boot) {
            return Ok(*id);
        }
        // The update changes nothing; without it an existing row would not be returned.
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO boots (proxy, boot) VALUES (?, ?) ON CONFLICT DO UPDATE SET boot = excluded.boot RETURNING id",
        )
        .bind(&line.proxy_id)
        .bind(&line.boot_id)
        .fetch_one(&mut self.connection)
        .await?;
        if self.boots.len() >= REMEMBERED_BOOTS {
            self.boots.clear();
        }
        self.boots.insert(boot, id);
        Ok(id)
    }

    /// Up to which sequence retention has removed records of this lane: those were counted, whatever is sent again.
    async fn floor(
        &mut self,
        floors: &mut HashMap<(i64, i64), i64>,
        boot: i64,
        lane: i64,
    ) -> Result<i64, sqlx::Error> {
        if let Some(floor) = floors.get(&(boot, lane)) {
            return Ok(*floor);
        }
        let floor: Option<i64> =
            sqlx::query_scalar("SELECT sequence FROM floors WHERE boot = ? AND lane = ?")
                .bind(boot)
                .bind(lane)
                .fetch_optional(&mut self.connection)
                .await?;
        let floor = floor.unwrap_or(-1);
        floors.insert((boot, lane), floor);
        Ok(floor)
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    rows: &[(i64, &Line)],
    now_ms: i64,
    inserted: &mut HashSet<(i64, i64, i64)>,
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO records (boot, lane, sequence, request_id, received_ms, body) ",
    );
    query.push_values(rows, |mut row, (boot, line)| {
        row.push_bind(*boot)
            .push_bind(line.lane)
            .push_bind(line.sequence)
            .push_bind(line.request_id.as_str())
            .push_bind(now_ms)
            .push_bind(line.body.as_str());
    });
    query.push(" ON CONFLICT DO NOTHING RETURNING boot, lane, sequence");
    for row in query.build().persistent(false).fetch_all(connection).await? {
        inserted.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    Ok(())
}

fn options(place: &LedgerPlace) -> SqliteConnectOptions {
    let options =
        SqliteConnectOptions::new().busy_timeout(Duration::from_secs(10)).disable_statement_logging();
    match place {
        LedgerPlace::Memory => options.in_memory(true),
        // An acknowledgement promises that the record survives a power cut: FULL, not NORMAL.
        LedgerPlace::File(path) => options
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
    }
}

/// Makes the tables, and refuses a file that a newer build wrote.
async fn prepare(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::from_sqlx(path, source);
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    if found > SCHEMA {
        return Err(LedgerError::TooNew { path: path.to_path_buf(), found, known: SCHEMA });
    }
    sqlx::raw_sql(TABLES).execute(&mut *connection).await.map_err(failed)?;
    sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *connection).await.map_err(failed)?;
    Ok(())
}
