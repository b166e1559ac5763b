//! The client: one handle, two threads.
//!
//! ```text
//!  callers --publish--> bounded queue --> worker thread: outbox, journal, session --requests--> library
//!     ^                                        ^    |                                             |
//!     +--commands-- bounded queue <------------|----+      events <-- network thread: polls <-----+
//! ```
//!
//! The *worker* thread owns outbox, journal and session; it may wait for the disk, never for the network. The
//! *network* thread polls the library's event loop and nothing else. Callers never wait for either: everything
//! they call returns at once, with an error if a bound is reached.

mod backoff;
mod latest;
mod ledger;
mod network;
mod options;
mod session;
mod status;
mod succession;
mod worker;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use hal_units::Duration;

pub use latest::{Delivery, LATEST_TOPICS_MAX};
pub use ledger::Ticket;
pub use options::{BrokerUrl, Clock, Credentials, MqttOptions, OptionsError, UrlError, Voice};
pub use status::{ConnectionState, MqttCounters, MqttStatus, StorageState};
pub use succession::MARKS_MAX;

use crate::command::{CommandDesk, CommandNumber, ExecutionMark, IncomingCommand, Outcome};
use crate::log::{LogError, Storage};
use crate::outbox::{Message, MessageError, Outbox};
use latest::Latest;
use ledger::Ledger;
use network::Network;
use worker::{Request, Worker};

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The journal cannot be written.
    #[error("the command journal cannot be written: {0}")]
    Journal(#[from] LogError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; check the limit of processes (ulimit -u)")]
    Thread(io::Error),
}

/// Why a message was not taken. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The outbox holds, with what waits for it, as much as it may.
    #[error(
        "the outbox is full ({entries} messages, {bytes} bytes): the broker does not acknowledge fast enough"
    )]
    OutboxFull {
        /// Entries it holds.
        entries: usize,
        /// Bytes it holds.
        bytes: u64,
    },
    /// The queue to the outbox is full: the disk is slower than the callers for the moment.
    #[error("the queue to the outbox is full; try again")]
    QueueFull,
    /// There are too many topics with a latest value.
    #[error("there are {LATEST_TOPICS_MAX} topics with a latest value already")]
    TooManyTopics,
    /// It cannot be published.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The client was stopped.
    #[error("the client was stopped")]
    Stopped,
}

/// What the callers and the worker share; each lock is held for a few instructions.
#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    latest: Mutex<Latest>,
    status: Mutex<MqttStatus>,
    /// Whom to call when a command can be taken.
    command_event: OnceLock<OwnedFd>,
}

/// A poisoned lock guards plain data that is whole at each instruction.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running client. All methods return at once; share it by reference or in an [`Arc`].
#[derive(Debug)]
pub struct Mqtt {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    wake: Sender<()>,
    commands: Receiver<IncomingCommand>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Mqtt {
    /// Starts a client: it connects, sends what the outbox holds, and hands out the commands that the desk
    /// remembers and that are not concluded.
    ///
    /// # Errors
    /// If a setting is out of range, the journal cannot be written, or a thread cannot be started.
    pub fn start<O, J>(
        options: MqttOptions,
        outbox: Outbox<O>,
        desk: Option<CommandDesk<J>>,
        clock: Clock,
    ) -> Result<Self, StartError>
    where
        O: Storage + Send + 'static,
        J: Storage + Send + 'static,
    {
        options.check()?;
        let (requests, requests_in) = bounded(options.publish_queue);
        let (wake, wake_in) = bounded(1);
        let (commands_out, commands) = bounded(options.command_queue);
        let (events, events_in) = bounded(1024);
        let shared = Arc::new(Shared {
            ledger: Mutex::new(Ledger::of(&outbox)),
            latest: Mutex::new(Latest::default()),
            status: Mutex::new(worker::first_status(&outbox, clock)),
            command_event: OnceLock::new(),
        });
        let network = Network::new(options.clone(), events).map_err(StartError::Thread)?;
        let inbox = worker::Inbox { requests: requests_in, wake: wake_in, events: events_in };
        let mut worker =
            Worker::new(&options, outbox, desk, clock, network, Arc::clone(&shared), commands_out);
        worker.recover()?;
        let thread = thread::Builder::new()
            .name("takt-mqtt".to_owned())
            .stack_size(crate::STACK_BYTES)
            .spawn(move || worker.run(inbox))
            .map_err(StartError::Thread)?;
        Ok(Self { shared, requests, wake, commands, worker: Mutex::new(Some(thread)) })
    }

    /// Names an eventfd that becomes readable when there is a command to take, so that nobody has to ask again and
    /// again. Names it once: a second one is dropped.
    pub fn call_for_commands(&self, event: OwnedFd) {
        let _ = self.shared.command_event.set(event);
    }

    /// Takes a message for the outbox: published with QoS 1 until the broker acknowledges it. It is durable as
    /// soon as [`durable`](Self::durable) reaches the ticket, in general after a few milliseconds.
    ///
    /// # Errors
    /// If a bound is reached, or the message cannot be published.
    pub fn publish(&self, message: Message) -> Result<Ticket, PublishError> {
        message.check()?;
        let mut ledger = lock(&self.shared.ledger);
        let ticket = ledger.reserve(message.outbox_bytes())?;
        // Under the lock, so that tickets are in the order of the queue; it does not wait.
        match self.requests.try_send(Request::Publish(message)) {
            Ok(()) => Ok(ticket),
            Err(error) => {
                ledger.undo(&error);
                Err(match error {
                    TrySendError::Full(_) => PublishError::QueueFull,
                    TrySendError::Disconnected(_) => PublishError::Stopped,
                })
            }
        }
    }

    /// All messages with tickets up to this one are on disk, or were acknowledged.
    #[must_use]
    pub fn durable(&self) -> Ticket {
        lock(&self.shared.ledger).durable()
    }

    /// Sets the latest value of a topic, retained. It replaces one that has not left yet, and leaves again with
    /// each new connection; it does not survive the process.
    ///
    /// # Errors
    /// If the topic is none, the payload is too large, or there are too many topics.
    pub fn set_latest(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        delivery: Delivery,
    ) -> Result<(), PublishError> {
        let message = Message::new(topic, payload);
        message.check()?;
        if !lock(&self.shared.latest).set(topic, message.payload, delivery) {
            return Err(PublishError::TooManyTopics);
        }
        match self.wake.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => Err(PublishError::Stopped),
        }
    }

    /// Accepted commands, in the order of acceptance. Each is to be [concluded](Self::conclude).
    #[must_use]
    pub const fn commands(&self) -> &Receiver<IncomingCommand> {
        &self.commands
    }

    /// Says what became of a command; its issuer is told once that is on disk.
    ///
    /// # Errors
    /// If the queue is full (try again), or the client was stopped.
    pub fn conclude(&self, number: CommandNumber, outcome: Outcome) -> Result<(), PublishError> {
        self.request(Request::Conclude(number, outcome))
    }

    /// Lets the client speak, or fall silent for the other node of a pair. Commands that were accepted in
    /// silence and that nobody carried out are handed out, and answered, once it speaks.
    ///
    /// # Errors
    /// If the queue is full (try again), or the client was stopped.
    pub fn set_voice(&self, voice: Voice) -> Result<(), PublishError> {
        self.request(Request::Voice(voice))
    }

    /// Says that the other node of a pair has carried out a command, which may not have arrived here yet.
    ///
    /// # Errors
    /// If the queue is full (try again), or the client was stopped.
    pub fn note_executed(&self, mark: ExecutionMark) -> Result<(), PublishError> {
        self.request(Request::Executed(mark))
    }

    fn request(&self, request: Request) -> Result<(), PublishError> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => PublishError::QueueFull,
            TrySendError::Disconnected(_) => PublishError::Stopped,
        })
    }

    /// The client's state, at most a second old.
    #[must_use]
    pub fn status(&self) -> MqttStatus {
        lock(&self.shared.status).clone()
    }

    /// Whether there is a broker.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(lock(&self.shared.status).connection, ConnectionState::Connected { .. })
    }

    /// Makes durable what was taken, says goodbye to the broker and ends; takes `patience` and a second at
    /// most. What is not acknowledged stays in the outbox for the next start.
    pub fn stop(&self, patience: Duration) {
        let Some(thread) = lock(&self.worker).take() else { return };
        // If the queue stays full for so long, the worker is stuck, and dropping the queue's end must do.
        if self.requests.send_timeout(Request::Stop(patience), patience).is_ok() {
            thread.join().ok();
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.stop(Duration::from_millis(200));
    }
}
