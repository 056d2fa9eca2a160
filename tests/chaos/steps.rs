//! What operators do to strict nodes under load, step by step as `docs/operations.md` has it;
//! and the same done wrong, where something must show. What came of it is for the checker.

use std::{path::PathBuf, sync::Arc, time::Duration};

use redis::cmd;
use redlock_quorum::ErrorKind;
use tokio::time::sleep;

use crate::{
    Result,
    check::SUPERVISOR,
    clock::{ms, now},
    counter::{self, Served},
    fault::Set,
    log::{Log, Note},
    mode::{self, Belief, GRACE, MAX_TTL, Mode},
    play::{STEP, until},
    program::Program,
    stage::{Crowd, GROUPS, Stage},
};

/// So many updates of the counter are waited for in a part of a step: it then had its load.
const ENOUGH: u64 = 40;
/// A busy host takes long for them.
const LOADED: Duration = ms(120_000);
/// How many client processes there are: two for each group.
const PROCESSES: u32 = 4;
/// Long enough for another to get a lock that a node has forgotten.
const SPLIT: Duration = ms(150);

macro_rules! steps {
    ($($variant:ident, $name:literal, $what:literal;)*) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Step { $(#[doc = $what] $variant,)* }

        impl Step {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

steps! {
    InTurn, "restart in turn", "Each node is restarted empty, when the one before votes again.";
    Replace, "another server in a node's place", "It is shut down, and the clients get another's address.";
    MoreNodes, "from three nodes to five", "All clients stop meanwhile.";
    OtherQuorum, "another quorum", "The same.";
    OtherMaxTtl, "another max ttl", "The same.";
    Beside, "wrong: the old server runs on", "Half of the clients have the new one already.";
    Early, "wrong: clients of five nodes beside those of three", "No client has stopped.";
    LateBootstrap, "wrong: bootstrap after the first client", "It is refused.";
}

impl Step {
    /// What the clients believe after all of them have stopped: how many nodes there are, their
    /// quorum where it is no majority, and the longest ttl.
    pub fn after_a_pause(self) -> Option<(usize, Option<usize>, Duration)> {
        match self {
            Self::MoreNodes => Some((5, None, MAX_TTL)),
            Self::OtherQuorum => Some((5, Some(4), MAX_TTL)),
            Self::OtherMaxTtl => Some((3, None, MAX_TTL * 2)),
            Self::InTurn | Self::Replace | Self::Beside | Self::Early | Self::LateBootstrap => None,
        }
    }
}

/// A step that is being played.
struct Cast {
    stage: Stage,
    crowd: Crowd,
    served: Served,
    belief: Belief,
}

/// Plays it, and leaves the logs in that directory.
pub async fn record(step: Step, program: &Program, dir: PathBuf, seed: u64) -> Result<()> {
    let log = Arc::new(Log::open(&dir.join(SUPERVISOR))?);
    let nodes = if step == Step::OtherQuorum { 5 } else { 3 };
    let stage = Stage::start(program, Set::Memory, nodes, dir, Arc::clone(&log)).await?;
    let served = counter::serve(Arc::clone(&log)).await?;
    let crowd = Crowd {
        modes: vec![Mode::Strict],
        processes: PROCESSES,
        tasks: 3,
        keys: 2,
        seed,
        counter: served.address,
    };
    let belief = Belief::of(Vec::new());
    log.say(&Note::Began { at: now() });
    let mut cast = Cast { stage, crowd, served, belief };
    if step == Step::LateBootstrap {
        cast.bootstrap_late().await?;
    } else {
        cast.bootstrap().await?;
        cast.start(&[0, 1, 2, 3, 4][..nodes])?;
        cast.loaded(ENOUGH).await?;
        cast.play(step).await?;
    }
    cast.loaded(ENOUGH).await?;
    cast.stage.end_clients().await?;
    // A key's own time, and a margin: what is there after that would stay for ever.
    sleep(cast.belief.max_ttl + GRACE + ms(500)).await;
    cast.stage.look_for_keys().await
}

impl Cast {
    async fn play(&mut self, step: Step) -> Result<()> {
        if let Some((nodes, quorum, max_ttl)) = step.after_a_pause() {
            return self.pause(nodes, quorum, max_ttl).await;
        }
        self.next_part();
        match step {
            Step::InTurn => self.restart_in_turn().await?,
            Step::Replace => self.replace().await?,
            Step::Beside => self.replace_beside().await?,
            Step::Early => self.come_early().await?,
            Step::MoreNodes | Step::OtherQuorum | Step::OtherMaxTtl | Step::LateBootstrap => {
                unreachable!("played elsewhere")
            }
        }
        self.next_part();
        Ok(())
    }

    fn next_part(&self) {
        self.stage.log.say(&Note::Part { at: now() });
    }

    /// What a client of that group believes, of these nodes.
    fn belief_of(&self, group: usize, nodes: &[usize]) -> Belief {
        let urls = self.stage.urls(group);
        let nodes = nodes.iter().map(|node| urls[*node].clone()).collect();
        Belief { nodes, ..self.belief.clone() }
    }

    /// As the documents have it, for all nodes that there are.
    async fn bootstrap(&self) -> Result<()> {
        let nodes: Vec<_> = (0..self.stage.servers.len()).collect();
        mode::prepare(&[Mode::Strict], &self.belief_of(0, &nodes)).await
    }

    fn start(&mut self, nodes: &[usize]) -> Result<()> {
        for group in 0..GROUPS {
            let belief = self.belief_of(group, nodes);
            let processes = PROCESSES / GROUPS as u32;
            self.stage.start_group(&Crowd { processes, ..self.crowd.clone() }, &belief)?;
        }
        Ok(())
    }

    /// Waits until so many more updates were made under locks.
    async fn loaded(&self, updates: u64) -> Result<()> {
        let (goal, end) = (self.served.updates() + updates, now() + crate::clock::nanos(LOADED));
        while self.served.updates() < goal {
            if now() > end {
                return Err(format!("no {updates} updates within {LOADED:?}").into());
            }
            sleep(STEP).await;
        }
        Ok(())
    }

    /// Waits until a client has asked that node and it has been out of quarantine.
    async fn votes(&self, node: usize) -> Result<()> {
        let server = &self.stage.servers[node];
        until("it votes", async || {
            let epoch: Option<String> = server.ask(cmd("GET").arg("redlock:epoch")).await?;
            Ok(epoch.is_some_and(|epoch| !epoch.starts_with("Q:")))
        })
        .await
    }

    /// Each group of clients can't reach the one node or the other: what they hold hangs by the third.
    fn split(&self, nodes: [usize; 2], is_down: bool) {
        for (group, node) in nodes.into_iter().enumerate() {
            self.stage.proxies[node][group].set_down(is_down);
        }
    }

    async fn restart_in_turn(&mut self) -> Result<()> {
        for node in 0..3 {
            let others = [(node + 1) % 3, (node + 2) % 3];
            self.split(others, true);
            sleep(SPLIT).await;
            let server = &mut self.stage.servers[node];
            server.kill();
            server.forget_files()?;
            server.begin().await?;
            sleep(SPLIT).await;
            self.split(others, false);
            self.votes(node).await?;
        }
        self.loaded(ENOUGH).await
    }

    async fn replace(&mut self) -> Result<()> {
        // The first group holds by the nodes 0 and 2, and the second is to get 1 and the new one.
        self.split([1, 0], true);
        sleep(SPLIT).await;
        self.stage.servers[2].kill();
        let new = self.stage.add_node().await?;
        for place in [2, 3] {
            let belief = self.belief_of(1, &[0, 1, new]);
            self.stage.exchange(place, belief)?;
        }
        sleep(SPLIT).await;
        self.split([1, 0], false);
        self.votes(new).await?;
        self.loaded(ENOUGH).await?;
        for place in [0, 1] {
            let belief = self.belief_of(0, &[0, 1, new]);
            self.stage.exchange(place, belief)?;
        }
        self.loaded(ENOUGH).await
    }

    /// Both lists have a quorum of their own: the nodes 0 and 2, and 1 and the new one.
    async fn replace_beside(&mut self) -> Result<()> {
        let new = self.stage.add_node().await?;
        for place in [2, 3] {
            let belief = self.belief_of(1, &[0, 1, new]);
            self.stage.exchange(place, belief)?;
        }
        self.votes(new).await?;
        self.split([1, 0], true);
        self.loaded(2 * ENOUGH).await?;
        self.split([1, 0], false);
        Ok(())
    }

    /// Stops all, has the nodes forget what they were told, and starts again with another belief.
    async fn pause(
        &mut self,
        nodes: usize,
        quorum: Option<usize>,
        max_ttl: Duration,
    ) -> Result<()> {
        self.stage.end_clients().await?;
        self.next_part();
        for server in &self.stage.servers {
            server.ask::<()>(cmd("DEL").arg("redlock:epoch")).await?;
        }
        sleep(self.belief.max_ttl).await;
        while self.stage.servers.len() < nodes {
            self.stage.add_node().await?;
        }
        self.belief = Belief { quorum, max_ttl, ..self.belief.clone() };
        self.bootstrap().await?;
        self.next_part();
        self.start(&(0..nodes).collect::<Vec<_>>())
    }

    /// Some already have five nodes, and must not get a lock while the others go on.
    async fn come_early(&mut self) -> Result<()> {
        let nodes = [0, 1, 2, self.stage.add_node().await?, self.stage.add_node().await?];
        for group in 0..GROUPS {
            let belief = self.belief_of(group, &nodes);
            let modes = vec![Mode::StrictFenced];
            self.stage
                .start_group(&Crowd { processes: 1, modes, ..self.crowd.clone() }, &belief)?;
        }
        self.votes(3).await?;
        self.votes(4).await?;
        self.loaded(ENOUGH).await
    }

    /// Nodes that a client has asked first are in quarantine, and nobody can say that they are new.
    async fn bootstrap_late(&mut self) -> Result<()> {
        self.start(&[0, 1, 2])?;
        let server = &self.stage.servers[0];
        until("a client has asked", async || {
            Ok(server.ask::<u64>(cmd("EXISTS").arg("redlock:epoch")).await? == 1)
        })
        .await?;
        let refused = mode::bootstrap(Mode::Strict, &self.belief_of(0, &[0, 1, 2])).await?;
        let is_refused = refused.is_err_and(|error| error.kind() == ErrorKind::InvalidConfig);
        self.next_part();
        if is_refused { Ok(()) } else { Err("a late bootstrap was not refused".into()) }
    }
}
