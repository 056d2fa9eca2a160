//! The in-memory node's sockets: a thread that accepts, and one for each
//! connection. They block, so that they need no runtime and stand still when
//! paused. They never let a command past a pause or a stop, and never wait long
//! for a client that does not read what it subscribed to.

use std::collections::HashMap;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use socket2::SockRef;

use super::inside::{Inside, Pipe};
use super::store::{Outcome, Store};
use crate::protocol::Moment;
use crate::testing::{Clock, Reply, resp, wait};
use crate::world::World as _;

const MAX_REQUEST: usize = 1 << 20;
const MAX_CONNECTIONS: usize = 4096;
/// How long a push may wait for a subscriber whose socket is full.
const PUSH_LIMIT: Duration = Duration::from_millis(50);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One run of a node, from start to stop. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
    socket: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    clock: Clock,
    started: Moment,
}

#[derive(Debug)]
struct State {
    store: Store,
    paused: bool,
    stopped: bool,
    connections: HashMap<u64, Client>,
    accepted: u64,
}

/// A client, and how it is connected.
#[derive(Debug)]
enum Client {
    Outside(TcpStream),
    Inside(Arc<Pipe>),
}

impl Server {
    pub(super) fn start(socket: SocketAddr, clock: Clock) -> io::Result<Self> {
        let listener = bind(socket)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                store: Store::new(Duration::ZERO, since_1970(&clock), new_run_id()),
                paused: false,
                stopped: false,
                connections: HashMap::new(),
                accepted: 0,
            }),
            changed: Condvar::new(),
            started: clock.now(),
            clock,
        });
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name(format!("memory-node-{}", socket.port()))
            .spawn(move || accepting.accept(&listener))?;
        Ok(Self { shared, acceptor, socket })
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.shared.state().paused = paused;
        self.shared.changed.notify_all();
        self.shared.serve_all_inside();
    }

    /// A connection from inside, or `None` if there are too many.
    pub(super) fn connect(&self) -> Option<Inside> {
        let pipe = Arc::new(Pipe::default());
        let number = self.shared.admit(Client::Inside(Arc::clone(&pipe)))?;
        Some(Inside::new(Arc::clone(&self.shared), number, pipe))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        // The acceptor sees the stop when it has something to accept; when it
        // has ended, its listener is closed and the port refuses.
        wait::until(STOP_LIMIT, || {
            if !self.acceptor.is_finished() {
                let _ = TcpStream::connect_timeout(&self.socket, Duration::from_millis(100));
            }
            self.acceptor.is_finished().then_some(())
        });
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            if self.state().stopped {
                // A close is not enough: a child that another thread is forking
                // right now has a copy of this listener until it runs.
                let _ = SockRef::from(listener).shutdown(Shutdown::Both);
                return;
            }
            match accepted {
                Ok((stream, _)) => self.welcome(stream),
                // There are usually no file descriptors left: there is no condition
                // to wait for, and no use in asking again at once.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Gives the connection a thread, or hangs up if it can't have one.
    fn welcome(self: &Arc<Self>, stream: TcpStream) {
        let Ok(handle) = stream.try_clone() else {
            return;
        };
        let Some(id) = self.admit(Client::Outside(handle)) else {
            return;
        };
        let shared = Arc::clone(self);
        let talking = thread::Builder::new().spawn(move || {
            // Whatever ends the conversation, the client sees its connection close.
            let _ = shared.converse(id, &stream);
            shared.forget(id);
        });
        if talking.is_err() {
            self.forget(id);
        }
    }

    fn admit(&self, client: Client) -> Option<u64> {
        let mut state = self.state();
        if state.stopped || state.connections.len() >= MAX_CONNECTIONS {
            return None;
        }
        state.accepted += 1;
        let id = state.accepted;
        state.connections.insert(id, client);
        Some(id)
    }

    fn forget(&self, id: u64) {
        let mut state = self.state();
        state.store.hang_up(id);
        if let Some(client) = state.connections.remove(&id) {
            client.hang_up();
        }
    }

    fn converse(&self, id: u64, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream);
        let mut output = BufWriter::new(stream);
        loop {
            let args = match resp::read_command(&mut input, MAX_REQUEST) {
                Ok(Some(args)) => args,
                Ok(None) => return Ok(()),
                Err(error) => {
                    // From here on no push is written to this connection.
                    self.state().store.hang_up(id);
                    let refusal = Reply::error(format!("ERR Protocol error: {error}"));
                    resp::write(&mut output, &refusal)?;
                    return output.flush();
                }
            };
            if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"subscribe")) {
                // From here on this connection's output is pushed.
                let _ = output.flush();
            }
            let Some(replies) = self.execute(id, &args) else {
                return Ok(());
            };
            // A client that is gone cannot be answered, but what it had sent
            // is carried out to the end, as a server does.
            let _ = replies.iter().try_for_each(|reply| resp::write(&mut output, reply));
            if input.buffer().is_empty() {
                let _ = output.flush();
            }
        }
    }

    /// Waits out a pause and carries out a command. It returns the replies that the
    /// caller is to send, or `None` once the node is stopped.
    fn execute(&self, id: u64, args: &[Vec<u8>]) -> Option<Vec<Reply>> {
        let mut state = self.state();
        while state.paused && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return None;
        }
        Some(state.execute(id, self.age(), args))
    }

    /// How long it has run.
    fn age(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// Carries out what a client inside has sent, unless the node is paused: that is done
    /// when it goes on.
    pub(super) fn serve_inside(&self, id: u64) {
        let mut state = self.state();
        if !state.paused && !state.stopped {
            state.serve_inside(id, self.age());
        }
    }

    fn serve_all_inside(&self) {
        let mut ids: Vec<_> = self.state().connections.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.serve_inside(id));
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for (_, client) in state.connections.drain() {
            client.hang_up();
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Carries out a command. It returns the replies that the caller is to send.
    fn execute(&mut self, id: u64, now: Duration, args: &[Vec<u8>]) -> Vec<Reply> {
        let Outcome { replies, messages } = self.store.execute(id, now, args);
        for (to, message) in messages {
            self.push(to, &[message]);
        }
        if !self.store.is_subscribed(id) {
            return replies;
        }
        self.push(id, &replies);
        Vec::new()
    }

    fn serve_inside(&mut self, id: u64, now: Duration) {
        let Some(Client::Inside(pipe)) = self.connections.get(&id) else { return };
        let pipe = Arc::clone(pipe);
        loop {
            match pipe.take_command() {
                Ok(Some(args)) => {
                    let replies = self.execute(id, now, &args);
                    pipe.push(&replies);
                }
                Ok(None) if !pipe.has_left() => return,
                Ok(None) => break,
                Err(error) => {
                    pipe.push(&[Reply::error(format!("ERR Protocol error: {error}"))]);
                    break;
                }
            }
        }
        self.store.hang_up(id);
        self.connections.remove(&id);
        pipe.hang_up();
    }

    /// Sends to a connection that is subscribed, in the order of execution: all its
    /// replies and messages go this way, and nothing else happens meanwhile. If it does
    /// not take them, it is hung up on, as by a server whose buffer is full.
    fn push(&mut self, to: u64, replies: &[Reply]) {
        let pushed = match self.connections.get(&to) {
            Some(Client::Outside(stream)) => push(stream, replies),
            Some(Client::Inside(pipe)) => return pipe.push(replies),
            None => return,
        };
        if let (Err(_), Some(client)) = (pushed, self.connections.get(&to)) {
            client.hang_up();
            self.store.hang_up(to);
        }
    }
}

impl Client {
    fn hang_up(&self) {
        match self {
            // It may have hung up itself.
            Self::Outside(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Inside(pipe) => pipe.hang_up(),
        }
    }
}

fn push(mut stream: &TcpStream, replies: &[Reply]) -> io::Result<()> {
    let bytes = resp::encode(replies);
    stream.set_write_timeout(Some(PUSH_LIMIT))?;
    stream.write_all(&bytes)?;
    stream.set_write_timeout(None)
}

/// Binds the port. It tries for a moment, since the copies of a listener that `accept`
/// speaks of may still have it.
fn bind(socket: SocketAddr) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let bound = wait::until(STOP_LIMIT, || match TcpListener::bind(socket) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            last = error;
            None
        }
        tried => Some(tried),
    });
    bound.unwrap_or(Err(last))
}

/// What the wall clock says.
fn since_1970(clock: &Clock) -> Duration {
    clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn new_run_id() -> String {
    format!("{:032x}{:08x}", rand::random::<u128>(), rand::random::<u32>())
}
