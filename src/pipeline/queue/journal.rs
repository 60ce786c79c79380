//! A queue on disk: one thread that writes, reads and forgets batches in one file.
//!
//! Batches that come while a transaction is being written go into the next one together. What has been answered is
//! forgotten with it: after a crash, what was answered since the last transaction is sent once more.
//!
//! When the disk does not take something, its sender hears so, and the next try is a second later. A file that grew
//! large is begun anew once all of it has been delivered.

use std::{
    collections::VecDeque,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use redb::Database;
use tokio::sync::oneshot;

use super::{config::Size, stock::Stock, tables};
use crate::{
    otlp::Batch,
    pipeline::component::{Context, StartError},
    store::{self, OpenError, Opened},
    telemetry::Gauge,
};

/// Bytes that may wait to be written.
const INBOX_BYTES: usize = 32 << 20;
/// Bytes in one transaction.
const GROUP_BYTES: usize = 8 << 20;
/// What has been answered waits so long for something to be forgotten together with.
const COMPANY: Duration = Duration::from_millis(20);
/// After a failure, the next try.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a disk that keeps failing is said.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// A file from here on takes long to repair after a crash, so each write is made to need none; and it is begun anew
/// once everything in it has been delivered.
const LARGE: u64 = if cfg!(test) { 4 << 20 } else { 64 << 20 };

/// The thread's end of a queue on disk.
pub struct Journal {
    /// What the queue holds.
    pub stock: Arc<Stock>,
    inbox: Arc<Inbox>,
    /// Queues on it: two while a reload exchanges an exporter.
    attached: AtomicUsize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Inbox {
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Default)]
struct Asked {
    puts: VecDeque<Put>,
    bytes: usize,
    answered: Vec<u64>,
    read: bool,
    closed: bool,
    /// Until when nothing is tried, and why.
    failing: Option<(Instant, String)>,
}

struct Put {
    batch: Batch,
    done: oneshot::Sender<Result<(), String>>,
}

/// Why a batch was not even tried.
pub enum Refused {
    /// The disk is slower than what comes.
    Full,
    /// The disk does not take anything, for this reason.
    Failing(String),
}

impl Journal {
    /// Opens the file at `path` and goes on with what is in it.
    pub fn open(path: PathBuf, context: &Context) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| {
            context.error(format!("cannot use the queue's file {}: {error}", path.display()))
        };
        let Opened { database, damaged } = store::open(&path).map_err(|error| match error {
            OpenError::InUse => failed(&"another process uses it"),
            error => failed(&error),
        })?;
        let component = context.component.clone();
        if let Some((aside, error)) = damaged {
            let aside = aside.display();
            tracing::error!(component, %error, %aside, "the queue's file is damaged; set it aside, what it held is not sent");
        }
        let (stock, inbox) = (Arc::new(Stock::default()), Arc::new(Inbox::default()));
        let mut next = 0;
        let found = |order, size| {
            stock.found(order, size);
            next = order + 1;
        };
        tables::sizes(&database, found).map_err(|error| failed(&error))?;
        let Size { requests, items, .. } = stock.all();
        if requests > 0 {
            tracing::info!(component, requests, items, "goes on with what was queued before");
        }
        let labels = [("exporter", context.id.as_str())];
        let disk_bytes =
            context.metrics.gauge("sekisho_exporter_queue_disk_bytes", "What the queue's file takes on disk.", &labels);
        let database = Some(database);
        let mut keeper =
            Keeper { path, component, stock: stock.clone(), database, next, disk_bytes, said: None, size: 0 };
        keeper.measure();
        let asked = inbox.clone();
        let thread = std::thread::Builder::new().name("queue".to_owned()).spawn(move || keeper.run(&asked));
        let thread = Some(thread.map_err(|error| context.error(format!("cannot start a thread: {error}")))?);
        Ok(Self { stock, inbox, attached: AtomicUsize::new(0), thread })
    }

    /// Asks for `batch`, for which room is reserved in the stock, to be written; the answer comes when it is on disk. The
    /// room is given back if it is not to be.
    pub fn put(&self, batch: &Batch) -> Result<oneshot::Receiver<Result<(), String>>, Refused> {
        let mut asked = self.inbox.asked();
        if let Some((until, reason)) = &asked.failing
            && Instant::now() < *until
        {
            self.stock.release_silently(Size::of(batch));
            return Err(Refused::Failing(reason.clone()));
        }
        if asked.bytes > 0 && asked.bytes + batch.body.len() > INBOX_BYTES {
            self.stock.release_silently(Size::of(batch));
            return Err(Refused::Full);
        }
        let (done, wait) = oneshot::channel();
        asked.bytes += batch.body.len();
        asked.puts.push_back(Put { batch: batch.clone(), done });
        self.inbox.wake.notify_one();
        Ok(wait)
    }

    /// These need not be kept any more.
    pub fn answered(&self, orders: impl Iterator<Item = u64>) {
        self.inbox.asked().answered.extend(orders);
        self.inbox.wake.notify_one();
    }

    /// The lanes may run low.
    pub fn read_on(&self) {
        if self.stock.wanted().is_some() {
            self.inbox.asked().read = true;
            self.inbox.wake.notify_one();
        }
    }

    /// Another queue takes from here.
    pub fn attach(&self) {
        self.attached.fetch_add(1, Ordering::SeqCst);
    }

    /// A queue takes nothing any more.
    pub fn detach(&self) {
        self.attached.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a queue has been put in another's place that still exists.
    pub fn has_successor(&self) -> bool {
        self.attached.load(Ordering::SeqCst) > 1
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.inbox.asked().closed = true;
        self.inbox.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // What was answered is forgotten and the file closed: at most one transaction's time.
            let _ = thread.join();
        }
    }
}

/// What the thread does next.
struct Work {
    puts: Vec<Put>,
    answered: Vec<u64>,
    read: bool,
    closing: bool,
}

impl Inbox {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Work> {
        let mut asked = self.asked();
        let mut waited = false;
        loop {
            let pause = asked.failing.as_ref().map(|(until, _)| until.saturating_duration_since(Instant::now()));
            let wait = match pause {
                Some(pause) if !pause.is_zero() && !asked.closed => Some(pause),
                _ if !asked.puts.is_empty() || asked.read || asked.closed => break,
                _ if asked.answered.is_empty() => None,
                _ if waited => break,
                _ => {
                    waited = true;
                    Some(COMPANY)
                }
            };
            asked = match wait {
                Some(wait) => self.wake.wait_timeout(asked, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner),
            };
        }
        if asked.closed && asked.puts.is_empty() && asked.answered.is_empty() {
            return None;
        }
        let mut puts: Vec<Put> = Vec::new();
        let mut bytes = 0;
        while let Some(put) = asked.puts.pop_front_if(|put| bytes == 0 || bytes + put.batch.body.len() <= GROUP_BYTES) {
            bytes += put.batch.body.len();
            puts.push(put);
        }
        asked.bytes -= bytes;
        let answered = std::mem::take(&mut asked.answered);
        Some(Work { puts, answered, read: std::mem::take(&mut asked.read), closing: asked.closed })
    }
}

/// The thread's own.
struct Keeper {
    path: PathBuf,
    component: String,
    stock: Arc<Stock>,
    /// `None` after a failure, until it is opened anew.
    database: Option<Database>,
    /// The order of the next batch.
    next: u64,
    disk_bytes: Gauge,
    /// When a failure was last said; `None` while all is well.
    said: Option<Instant>,
    size: u64,
}

impl Keeper {
    fn run(mut self, inbox: &Inbox) {
        while let Some(work) = inbox.next() {
            let Work { puts, mut answered, read, closing } = work;
            if !puts.is_empty() {
                // There is room in the inbox.
                self.stock.emptied.notify_waiters();
            }
            if self.said.is_some() && !puts.is_empty() {
                // A full disk may let go what it cannot take.
                match self.write(&[], &answered) {
                    Ok(()) => answered.clear(),
                    Err(_) => self.close(),
                }
            }
            if !(puts.is_empty() && answered.is_empty()) {
                match self.write(&puts, &answered) {
                    Ok(()) => self.written(puts, inbox),
                    Err(error) => {
                        // At the end there is no second try: what is kept too long is sent once more.
                        if !closing {
                            inbox.asked().answered.extend(answered);
                        }
                        self.failed(&error, puts, inbox);
                    }
                }
            }
            if read && let Err(error) = self.read() {
                inbox.asked().read = true;
                self.failed(&error, Vec::new(), inbox);
            }
            self.begin_anew_if_empty();
        }
    }

    fn write(&mut self, puts: &[Put], answered: &[u64]) -> Result<(), redb::Error> {
        let quick_repair = self.size >= LARGE;
        let orders = self.next..;
        self.with(|database| {
            let batches = orders.zip(puts.iter().map(|put| &put.batch));
            tables::write(database, batches, answered, quick_repair)
        })
    }

    fn written(&mut self, puts: Vec<Put>, inbox: &Inbox) {
        self.measure();
        if !puts.is_empty() {
            inbox.asked().failing = None;
            if self.said.take().is_some() {
                tracing::info!(component = self.component, "the queue's disk works again");
            }
        }
        for Put { batch, done } in puts {
            self.stock.stored(self.next, batch);
            self.next += 1;
            // A sender that has gone away will send again.
            let _ = done.send(Ok(()));
        }
    }

    fn read(&mut self) -> Result<(), redb::Error> {
        let Some((order, bytes)) = self.stock.wanted() else { return Ok(()) };
        let (batches, last) = self.with(|database| tables::read(database, order, bytes))?;
        self.lose(self.stock.read(batches, last));
        Ok(())
    }

    /// Does `work` on the open file; a panic over damage is an error.
    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        if self.database.is_none() {
            self.database = Some(self.reopen()?);
        }
        let Some(database) = &self.database else { return Err(redb::Error::PreviousIo) };
        catch_unwind(AssertUnwindSafe(|| work(database)))
            .unwrap_or_else(|_| Err(redb::Error::Corrupted("the database panicked".to_owned())))
    }

    fn close(&mut self) {
        let database = self.database.take();
        // Over damage the database may panic once more.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    fn reopen(&mut self) -> Result<Database, redb::Error> {
        let failed = |error: OpenError| redb::Error::Io(std::io::Error::other(error));
        let Opened { database, damaged } = store::open(&self.path).map_err(failed)?;
        if let Some((aside, error)) = damaged {
            self.after_damage(&database, &aside, &error)?;
        }
        tables::forget_from(&database, self.next)?;
        Ok(database)
    }

    fn failed(&mut self, error: &redb::Error, puts: Vec<Put>, inbox: &Inbox) {
        self.close();
        let mut reason = error.to_string();
        if matches!(error, redb::Error::Corrupted(_)) {
            match store::begin_anew(&self.path) {
                Ok((database, aside)) => match self.after_damage(&database, &aside, error) {
                    Ok(()) => self.database = Some(database),
                    Err(error) => reason = error.to_string(),
                },
                Err(error) => reason = error.to_string(),
            }
        }
        let now = Instant::now();
        inbox.asked().failing = Some((now + PAUSE, reason.clone()));
        if self.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            self.said = Some(now);
            tracing::warn!(
                component = self.component,
                reason,
                path = %self.path.display(),
                "the queue's disk does not take anything; senders are asked to come back"
            );
        }
        for Put { batch, done } in puts {
            self.stock.release(Size::of(&batch));
            let _ = done.send(Err(reason.clone()));
        }
    }

    /// A new file takes over what is in memory; the rest is lost.
    fn after_damage(
        &self,
        database: &Database,
        aside: &std::path::Path,
        error: &dyn std::fmt::Display,
    ) -> Result<(), redb::Error> {
        let aside = aside.display();
        tracing::warn!(component = self.component, %error, %aside, "the queue's file is damaged; set it aside");
        self.lose(self.stock.read(Vec::new(), true));
        let waiting = self.stock.waiting();
        tables::write(database, waiting.iter().map(|(order, batch)| (*order, batch)), &[], false)
    }

    fn lose(&self, lost: Size) {
        if lost.requests > 0 {
            let Size { requests, items, .. } = lost;
            tracing::error!(component = self.component, requests, items, "lost what could not be read from disk");
        }
    }

    /// The file does not shrink by itself.
    fn begin_anew_if_empty(&mut self) {
        if self.size < LARGE || self.stock.all().requests > 0 {
            return;
        }
        self.close();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(component = self.component, %error, "cannot remove the queue's empty file");
        }
        match self.reopen() {
            Ok(database) => self.database = Some(database),
            Err(error) => tracing::warn!(component = self.component, %error, "cannot begin the queue's file anew"),
        }
        self.measure();
    }

    fn measure(&mut self) {
        // Its length runs ahead of what is really taken.
        self.size = std::fs::metadata(&self.path).map_or(0, |file| 512 * file.blocks());
        self.disk_bytes.set(self.size as f64);
    }
}
