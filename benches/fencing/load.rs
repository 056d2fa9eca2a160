//! One kind of acquire, many of them at once, and the server that carries them out.

use redis::{Pipeline, Value, aio::MultiplexedConnection};
use redlock_quorum::testing::{Backend, Cluster};
use redlock_quorum_benches::{
    common::{Result, connect, micros},
    observer::Observer,
};

/// Requests that go out together, as many as a busy client's.
const DEPTH: usize = 200;

const TOKEN: &str = "0123456789abcdefghijkl";
const TTL: u64 = 30_000;

/// A day and a `max_ttl`, about.
const RETENTION: u64 = 90_000_000;

/// Microseconds by which a fence that is there already is behind the number: less
/// than the hour beyond which a script asks for the time.
const BEHIND: u64 = 1_000_000;

/// What the node has noted, and the client knows.
const EPOCH: &str = "0123456789abcdef0123456789abcdef01234567:300000:0:3/5";

/// What is asked of the server, each time for a key of its own.
pub struct Load {
    pub name: String,
    script: Option<redis::Script>,
    is_fenced: bool,
    is_strict: bool,
    has_fences: bool,
}

impl Load {
    pub fn plain() -> Self {
        Self {
            name: "plain: SET NX PX".to_owned(),
            script: None,
            is_fenced: false,
            is_strict: false,
            has_fences: false,
        }
    }

    /// At a node whose epoch is right.
    pub fn strict(name: &str, text: &str) -> Self {
        let script = Some(redis::Script::new(text));
        Self { name: name.to_owned(), script, is_strict: true, ..Self::plain() }
    }

    /// At such a node, with a number.
    pub fn strict_fenced(name: &str, text: &str) -> [Self; 2] {
        Self::fenced(name, text).map(|load| Self { is_strict: true, ..load })
    }

    /// On keys that were never locked, and on such as were: there the fence has stayed.
    pub fn fenced(name: &str, text: &str) -> [Self; 2] {
        [("fresh key", false), ("fence there", true)].map(|(keys, has_fences)| Self {
            name: format!("{name}, {keys}"),
            script: Some(redis::Script::new(text)),
            is_fenced: true,
            is_strict: false,
            has_fences,
        })
    }

    fn add(&self, pipeline: &mut Pipeline, number: usize, fencing: u64) {
        let key = format!("fencing:{number:08}");
        match &self.script {
            None => pipeline.cmd("SET").arg(key).arg(TOKEN).arg("NX").arg("PX").arg(TTL),
            Some(script) => {
                let keys = 1 + usize::from(self.is_fenced) + usize::from(self.is_strict);
                let call = pipeline.cmd("EVALSHA").arg(script.get_hash()).arg(keys).arg(&key);
                let fence = self.is_fenced.then(|| fence_of(&key));
                call.arg(fence).arg(self.is_strict.then_some("redlock:epoch"));
                call.arg(TOKEN).arg(TTL);
                call.arg(self.is_fenced.then_some(fencing));
                call.arg(self.is_fenced.then_some(RETENTION));
                call.arg(self.is_strict.then_some(EPOCH)).arg(self.is_strict.then_some("0"))
            }
        };
    }

    fn is_granted(&self, reply: &Value) -> bool {
        *reply == if self.is_fenced { Value::Int(0) } else { Value::Okay }
    }
}

fn fence_of(key: &str) -> String {
    format!("{key}:fence")
}

pub struct Server {
    pub observer: Observer,
    connection: MultiplexedConnection,
    _process: Cluster,
}

impl Server {
    pub async fn start() -> Result<Self> {
        let process = Cluster::builder().nodes(1).backend(Backend::Process).start().await?;
        let urls = process.urls();
        Ok(Self {
            observer: Observer::connect(&urls).await?,
            connection: connect(&urls[0]).await?,
            _process: process,
        })
    }

    /// How long it is on a core for each of so many acquires, which begin on an empty server.
    pub async fn micros_each(&mut self, load: &Load, acquires: usize) -> Result<f64> {
        self.observer.flush().await?;
        let (seconds, micros_of_it): (u64, u64) =
            redis::cmd("TIME").query_async(&mut self.connection).await?;
        let number = seconds * 1_000_000 + micros_of_it;
        if let Some(script) = &load.script {
            script.load_async(&mut self.connection).await?;
        }
        if load.is_strict {
            let note = redis::cmd("SET").arg("redlock:epoch").arg(EPOCH).to_owned();
            let _: () = note.query_async(&mut self.connection).await?;
        }
        if load.has_fences {
            let set = |pipeline: &mut Pipeline, place: usize| {
                let fence = fence_of(&format!("fencing:{place:08}"));
                let set = pipeline.cmd("SET").arg(fence).arg(number - BEHIND);
                set.arg("PX").arg(RETENTION);
            };
            self.ask(acquires, set).await?;
        }
        let before = self.observer.cpu().await?;
        let replies = self.ask(acquires, |all, place| load.add(all, place, number)).await?;
        let taken = self.observer.cpu().await? - before;
        match replies.iter().find(|reply| !load.is_granted(reply)) {
            Some(reply) => Err(format!("{}: an acquire was answered {reply:?}", load.name).into()),
            None => Ok(micros(taken) / acquires as f64),
        }
    }

    async fn ask(
        &mut self,
        requests: usize,
        add: impl Fn(&mut Pipeline, usize),
    ) -> Result<Vec<Value>> {
        let mut replies = Vec::with_capacity(requests);
        for first in (0..requests).step_by(DEPTH) {
            let mut pipeline = redis::pipe();
            for place in first..requests.min(first + DEPTH) {
                add(&mut pipeline, place);
            }
            let some: Vec<Value> = pipeline.query_async(&mut self.connection).await?;
            replies.extend(some);
        }
        Ok(replies)
    }
}
