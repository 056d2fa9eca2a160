//! What is known of the server at the other end of a connection: which scripts
//! it has been taught, what it has of its own, and what it refuses. This knowledge ends
//! with the connection, since the next one may lead to another server.

mod form;

use std::time::Duration;

use super::{endpoint::Endpoint, noted, order::Order, server::Server, wire::Form};
use crate::{
    exchange::{Answer, Ask, AtKey, Greeted, Life, Role},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::Moment,
};

/// How long a server that refused a release is asked for no lock: someone has to change
/// something first.
const REFUSED: Duration = Duration::from_secs(5);

/// What is known of one server.
pub(super) struct Known {
    /// The scripts whose text this connection has carried.
    taught: Vec<Ask>,
    server: Server,
    /// Whether it looks whether it has forgotten anything before it grants.
    is_strict: bool,
    /// Whether the server lets us look at a key by a script only.
    looks_by_script: bool,
    /// Whether a script goes by its text only: the server does not let us use its hash.
    by_text: bool,
    /// Why the last acquire was refused by an ACL, and until when that counts.
    refused: Option<(NodeError, Moment)>,
    /// Why the last release was refused, and until when no lock is asked for.
    keeps: Option<(NodeError, Moment)>,
    /// Until when no lock is asked for, since the server may have forgotten what it granted.
    held_back_until: Option<Moment>,
    /// Whether a lock was seen there that lives for longer than any should.
    has_long_lived: bool,
    /// Whether it has granted a lock, as far as a mutant asks.
    has_granted: bool,
    /// Whether the log says that it grants no lock, and not yet that it does; and when it was
    /// last said.
    is_unfit: bool,
    warned_at: Option<Moment>,
}

impl Known {
    pub(super) fn new(server: Server, is_strict: bool, held_back_until: Option<Moment>) -> Self {
        Self {
            taught: Vec::new(),
            is_unfit: server.refuses.is_some() || held_back_until.is_some(),
            warned_at: None,
            server,
            is_strict,
            looks_by_script: false,
            by_text: false,
            refused: None,
            keeps: None,
            held_back_until,
            has_long_lived: false,
            has_granted: false,
        }
    }

    /// Which process the server is, if that is known.
    pub(super) fn process(&self) -> Option<&str> {
        self.server.process.as_deref()
    }

    /// Whether it is asked for locks without its epoch, which is never so.
    pub(super) fn is_trusted(&self) -> bool {
        mutant::is(Mutant::LooksOnConnect) && self.has_granted
    }

    /// Whether anything may speak against asking for a lock here; most often nothing does.
    #[inline]
    pub(super) fn may_object(&self) -> bool {
        self.keeps.is_some() || self.held_back_until.is_some() || self.is_strict
    }

    /// Why no lock is to be asked for here `now`: it could be taken, and not be given back; or
    /// another may have it. One that is held is given back to the server all the same.
    pub(super) fn objection(&self, order: &Order, now: Moment) -> Option<NodeError> {
        let kept = still(&self.keeps, now).cloned();
        kept.or_else(|| self.held_back(now).filter(|_| !order.reserved))
    }

    /// Why the server grants nothing to us, though it may go on with what it has granted.
    fn held_back(&self, now: Moment) -> Option<NodeError> {
        if self.is_strict && self.server.evicts {
            return Some(NodeError::new(NodeErrorKind::Evicting));
        }
        let until = self.held_back_until.filter(|until| now < *until)?;
        Some(NodeError::restarted(until.since(now)))
    }

    /// A script whose text was sent is known to the server from then on.
    pub(super) fn note_sent(&mut self, order: &Order) {
        if order.form == Form::Whole
            && let Some(script) = order.ticket.ask.script(self.is_strict)
            && !self.taught.contains(&script)
        {
            self.taught.push(script);
        }
    }

    /// Learns from an answer, and adds to an error what the server is.
    ///
    /// # Errors
    ///
    /// The server is a replica: the connection leads to the wrong one.
    #[inline]
    pub(super) fn note_answer(
        &mut self,
        order: &Order,
        answer: &mut Answer,
        endpoint: &Endpoint,
        now: Moment,
    ) -> Result<(), NodeError> {
        if mutant::is(Mutant::LooksOnConnect) {
            self.has_granted |= matches!(answer, Answer::Granted) && order.ticket.ask.sets();
        }
        let tells = match answer {
            Answer::Failed(_) | Answer::NoScript | Answer::OtherServer(_) | Answer::Serves(_) => {
                true
            }
            Answer::Taken(found) => !self.has_long_lived && is_long(found, endpoint),
            _ => self.refused.is_some() || self.keeps.is_some() || self.is_unfit,
        };
        if tells { self.learn(order, answer, endpoint, now) } else { Ok(()) }
    }

    /// What most answers do not come to: they tell nothing new of the server.
    #[cold]
    fn learn(
        &mut self,
        order: &Order,
        answer: &mut Answer,
        endpoint: &Endpoint,
        now: Moment,
    ) -> Result<(), NodeError> {
        let ask = order.ticket.ask;
        if let Answer::OtherServer(process) = answer {
            let learned = self.learn_process(std::mem::take(&mut process.id), endpoint);
            *answer = match &learned {
                Ok(()) => Answer::NoScript,
                Err(error) => Answer::Failed(error.clone()),
            };
            return learned;
        }
        self.note_form(order, answer, endpoint);
        if self.was_asked_too_early(order, answer) {
            *answer = Answer::Serves(Box::new(self.server.greeted.clone()));
        }
        if let Answer::Serves(greeted) = answer
            && let Some(error) = self.objection_to_vote(greeted, endpoint, now)
        {
            *answer = Answer::Failed(error);
            return Ok(());
        }
        match answer {
            Answer::Granted if ask.sets() => {
                (self.refused, self.server.refuses) = (None, None);
                if std::mem::take(&mut self.is_unfit) {
                    tracing::info!(node = %endpoint.label(), "node grants locks");
                }
            }
            Answer::Granted | Answer::NotPublished if ask.is_release() => self.keeps = None,
            Answer::Serves(greeted) if greeted.role == Some(Role::Replica) => {
                return Err(NodeError::new(NodeErrorKind::ReadOnly).by(&self.server.words));
            }
            Answer::Serves(greeted) if greeted.untried => {
                let refused = still(&self.refused, now).or_else(|| still(&self.keeps, now));
                if let Some(error) = refused {
                    *answer = Answer::Failed(error.clone());
                }
            }
            Answer::Serves(_) => (self.refused, self.keeps) = (None, None),
            Answer::Taken(_) => {
                self.has_long_lived = true;
                let warning = NodeError::new(NodeErrorKind::LongLived);
                tracing::warn!(node = %endpoint.label(), %warning, "the guarantee is threatened");
                self.server.warnings.push(warning);
            }
            Answer::Failed(error) => return self.learn_failure(order, error, endpoint, now),
            _ => {}
        }
        Ok(())
    }

    /// A proxy hid a restart, or there was no telling at the login: the server is asked again.
    ///
    /// # Errors
    ///
    /// Another node is the same server.
    fn learn_process(&mut self, id: Box<str>, endpoint: &Endpoint) -> Result<(), NodeError> {
        let same = endpoint.peers.meet(endpoint.label(), &id, self.is_strict);
        if !mutant::is(Mutant::ProcessIsNotLearned) {
            self.server.process = Some(id);
        }
        same.map_or(Ok(()), |other| Err(NodeError::same_server(&other)))
    }

    fn learn_failure(
        &mut self,
        order: &Order,
        error: &mut NodeError,
        endpoint: &Endpoint,
        now: Moment,
    ) -> Result<(), NodeError> {
        let ask = order.ticket.ask;
        let tries = ask.sets() || ask == Ask::Greet;
        let earlier = self.server.refuses.as_ref().filter(|_| tries);
        // A replica was a master when it said of itself what it is.
        if error.kind() != NodeErrorKind::ReadOnly {
            *error = error.clone().by(&self.server.words).in_words_of(earlier);
        }
        if ask.sets() && is_of_the_node(error) {
            self.warn_of(error, endpoint, now);
        }
        let has_a_script = matches!(order.form, Form::Native(_)) && self.server.scripts;
        self.note_refusal(ask, error, has_a_script, now)
    }

    /// Why the server that says this of itself has no vote, though a lock would work there. It
    /// is given what is known of it besides.
    fn objection_to_vote(
        &self,
        greeted: &mut Greeted,
        endpoint: &Endpoint,
        now: Moment,
    ) -> Option<NodeError> {
        let same = self.process().and_then(|id| endpoint.peers.other(endpoint.label(), id));
        greeted.warnings.clone_from(&self.server.warnings);
        greeted.warnings.extend(same.map(|other| NodeError::same_server(&other)));
        if greeted.role == Some(Role::Replica) {
            return None;
        }
        let strict = endpoint.strict.as_deref().zip(greeted.epoch.as_ref());
        let refusal = strict.and_then(|(strict, epoch)| noted::objection(epoch, strict));
        refusal.or_else(|| self.held_back(now))
    }

    /// Says once that the server grants no lock, until it has granted one; and not too often
    /// where it does by turns.
    fn warn_of(&mut self, error: &NodeError, endpoint: &Endpoint, now: Moment) {
        if !self.is_unfit && self.warned_at.is_none_or(|at| now >= at.after(REFUSED)) {
            (self.is_unfit, self.warned_at) = (true, Some(now));
            tracing::warn!(node = %endpoint.label(), %error, "node grants no lock");
        }
    }

    /// Whether a look at health was put, before there was a connection, by a script, which this
    /// server does not run: its login has found that its own command will do.
    fn was_asked_too_early(&self, order: &Order, answer: &Answer) -> bool {
        let by_script = order.ticket.ask == Ask::Greet && order.form == Form::Short;
        let has_own = !self.server.scripts && self.server.native.is_some();
        // A strict node's locks need scripts.
        by_script
            && has_own
            && !self.is_strict
            && matches!(answer, Answer::Failed(error) if error.is_to("EVAL"))
    }

    fn note_refusal(
        &mut self,
        ask: Ask,
        error: &NodeError,
        has_a_script: bool,
        now: Moment,
    ) -> Result<(), NodeError> {
        let kind = error.kind();
        match ask {
            _ if is_misled(kind) => return Err(error.clone()),
            _ if ask.sets() && kind == NodeErrorKind::NotPermitted => {
                self.refused = Some((error.clone(), now.after(REFUSED)));
            }
            // Other errors may be a proxy's, of one moment.
            // Where nothing can be buried, a plain release is asked for, which tells.
            Ask::Release if is_forbidden(error) && !has_a_script => {
                self.keeps = Some((error.clone(), now.after(REFUSED)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an error says that the connection leads to the wrong server.
fn is_misled(kind: NodeErrorKind) -> bool {
    if mutant::is(Mutant::ReadonlyKeepsConnection) {
        return false;
    }
    kind == NodeErrorKind::ReadOnly
}

/// Whether a refusal says something of the server, and not of one key.
fn is_of_the_node(error: &NodeError) -> bool {
    use NodeErrorKind as K;
    let is_answer = error.code().is_some() && !error.is_of_the_key();
    let is_of_a_key = matches!(error.kind(), K::ForeignKey | K::ForeignFence | K::ClockAhead);
    is_answer && !is_of_a_key && !matches!(error.kind(), K::ReadOnly | K::Clustered | K::Server)
}

/// Whether the server lets us not release, whatever the key.
fn is_forbidden(error: &NodeError) -> bool {
    use NodeErrorKind as K;
    matches!(error.kind(), K::NotPermitted | K::Unsupported) && !error.is_of_the_key()
}

/// What counts until a time, if it does `now`.
fn still(refused: &Option<(NodeError, Moment)>, now: Moment) -> Option<&NodeError> {
    let (error, until) = refused.as_ref()?;
    (now < *until).then_some(error)
}

/// Whether what was found may be a lock, and lives for longer than any should.
fn is_long(found: &AtKey, endpoint: &Endpoint) -> bool {
    found.is_vote() && matches!(found.life, Life::Left(left) if left > endpoint.longest_ttl)
}
