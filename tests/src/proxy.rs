//! A TCP proxy in front of PostgreSQL that counts round trips and makes faults.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::recorder::{Connection, Flight, Recorder};

/// A TCP proxy on a loopback port of its own: it writes down what passes ([`connections`](Self::connections)) and
/// makes faults on demand ([`set_faults`](Self::set_faults)). Dropping it closes everything.
///
/// What the client sends is written down when it arrives here, what the server sends when it has left for the
/// client. So with a [`Faults::delay`] longer than it takes a client to write, a flight is exactly what the client
/// sent without waiting for an answer.
#[derive(Debug)]
pub struct CountingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What the proxy does to its connections, the existing and the new ones. Default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// New connections are closed as soon as they are accepted.
    pub refuse: bool,
    /// A connection is closed on both sides after this many bytes from the server, counted from the moment when
    /// these faults were set.
    pub cut_after_bytes: Option<usize>,
    /// Nothing that the server sends is passed on, until other faults are set.
    pub stall: bool,
    /// How long each byte travels, in each direction. A round trip takes twice as long.
    pub delay: Duration,
}

/// Faults with the number of the call that set them, so that setting the same ones counts again.
#[derive(Debug, Clone, Default)]
struct Order {
    number: u64,
    faults: Faults,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    faults: watch::Sender<Order>,
    recorders: Mutex<Vec<Arc<Mutex<Recorder>>>>,
}

impl CountingProxy {
    /// Starts a proxy in front of `upstream`.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { upstream, faults: watch::Sender::default(), recorders: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Where to connect instead of to the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the faults, for existing and new connections.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.faults.send_modify(|order| *order = Order { number: order.number + 1, faults });
    }

    /// What has passed since the start or since [`forget`](Self::forget), a record for each connection in the
    /// order of their opening.
    pub fn connections(&self) -> Vec<Connection> {
        lock(&self.shared.recorders).iter().map(|recorder| lock(recorder).connection().clone()).collect()
    }

    /// All answered flights of all connections: the number of round trips is their number.
    pub fn flights(&self) -> Vec<Flight> {
        self.connections().iter().flat_map(Connection::answered).cloned().collect()
    }

    /// Forgets what has passed. Connections stay open, and stay in the list with an empty record.
    pub fn forget(&self) {
        lock(&self.shared.recorders).iter().for_each(|recorder| lock(recorder).forget());
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped together with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if !shared.faults.borrow().faults.refuse {
                    connections.spawn(connect(client, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.upstream).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let recorder = Arc::new(Mutex::new(Recorder::default()));
    lock(&shared.recorders).push(recorder.clone());
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let faults = || shared.faults.subscribe();
    let upwards = Way { direction: Direction::ToServer, recorder: &recorder, faults: faults() };
    let downwards = Way { direction: Direction::ToClient, recorder: &recorder, faults: faults() };
    let upwards = upwards.carry(client_read, server_write);
    let downwards = downwards.carry(server_read, client_write);
    tokio::pin!(upwards, downwards);
    // Whichever way breaks first takes the other one with it; an orderly end waits for both.
    tokio::select! {
        up = &mut upwards => if up.is_ok() { let _ = downwards.await; },
        down = &mut downwards => if down.is_ok() { let _ = upwards.await; },
    }
    lock(&recorder).close();
}

/// One of the two ways through a connection.
struct Way<'a> {
    direction: Direction,
    recorder: &'a Mutex<Recorder>,
    faults: watch::Receiver<Order>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Way<'_> {
    /// Carries everything until its end. Reading and writing go on at the same time, so that a delay is latency
    /// and not less throughput.
    async fn carry(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_IN_FLIGHT);
        let Self { direction, recorder, mut faults } = self;
        let delay = faults.clone();
        let reading = async move {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let len = from.read(&mut buffer).await?;
                let due = Instant::now() + delay.borrow().faults.delay;
                let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
                if direction == Direction::ToServer {
                    lock(recorder).client_sent(bytes);
                }
                if sender.send((due, bytes.to_vec())).await.is_err() {
                    return Ok(());
                }
            }
        };
        let writing = async move {
            let mut in_force = 0;
            let mut budget = None;
            while let Some((due, bytes)) = receiver.recv().await {
                // The timer counts in milliseconds and rounds up: without a delay it would make one.
                if due > Instant::now() {
                    tokio::time::sleep_until(due).await;
                }
                if direction == Direction::ToServer {
                    to.write_all(&bytes).await?;
                    continue;
                }
                // The sender is gone when the proxy is being dropped.
                let Ok(order) = faults.wait_for(|order| !order.faults.stall).await.map(|order| order.clone())
                else {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                };
                if order.number != in_force {
                    (in_force, budget) = (order.number, order.faults.cut_after_bytes);
                }
                let allowed = budget.map_or(bytes.len(), |left| bytes.len().min(left));
                let (passed, rest) = bytes.split_at(allowed);
                // Before the write: the client may have read it and answered before this task runs again.
                lock(recorder).server_sent(passed);
                to.write_all(passed).await?;
                budget = budget.map(|left| left - allowed);
                if !rest.is_empty() || budget == Some(0) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            to.shutdown().await
        };
        tokio::try_join!(reading, writing).map(|((), ())| ())
    }
}
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHUNK_BYTES: usize = 16 * 1024;
const CHUNKS_IN_FLIGHT: usize = 64;
