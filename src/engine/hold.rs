//! What is done for a lock that is held: extending it, renewing it, and healing
//! nodes that have lost its key. When to renew is for `keep` to say.

use std::sync::Arc;

use super::{
    Engine, ExtendRequest, Kept, Renew, Time,
    op::{Asker, Extension, Head, Healing, Kind},
};
use crate::{
    claim::{Claim, Renewal},
    error::{Error, ErrorKind},
    mutant::{self, Mutant},
    protocol::{Moment, NodeSet, Number, Ttl},
};

impl Engine {
    pub(super) fn begin_extend(&mut self, request: ExtendRequest, time: Time) {
        let ExtendRequest { claim, ttl, reply } = request;
        if claim.remaining(time.now).is_zero() {
            let message = format!("lock {} has expired: it can't be extended", claim.key);
            let _ = reply.send(Err(Error::new(ErrorKind::Lost, message)));
            return;
        }
        let until = claim.until();
        self.extend(claim, ttl, Asker::Caller(reply), until, time);
    }

    pub(super) fn extend(
        &mut self,
        claim: Arc<Claim>,
        ttl: Ttl,
        asker: Asker,
        until: Moment,
        time: Time,
    ) {
        let lease = self.config.lease(time.clock, ttl);
        let number = match &asker {
            Asker::Next(hand_over) => hand_over.number,
            Asker::Caller(_) | Asker::Keeper(_) => claim.fence(),
        };
        let mut head = Head::new(claim, ttl, time.now, until).with_number(number);
        let (extension, suspects) = Extension::new(&mut head, lease, asker, until, &self.config);
        self.start(head, Kind::Extension(extension), suspects, time);
    }

    /// What follows from an extension of any kind: healing, or the end of a lock.
    /// `ends` says whether a lost lock ends here, and not where it is kept.
    pub(super) fn after_extension(
        &mut self,
        id: usize,
        outcome: &Result<(), Error>,
        ends: bool,
        time: Time,
    ) {
        let Some(claim) = self.ops.get(id).map(|op| Arc::clone(&op.head.claim)) else { return };
        match outcome {
            Ok(()) => self.heal(id, NodeSet::first(self.config.quorum.nodes()), time),
            Err(error) if error.kind() == ErrorKind::Lost && ends => {
                claim.end();
                self.leave(&claim, time);
            }
            Err(_) => {}
        }
    }

    pub(super) fn begin_keeping(&mut self, kept: Kept, time: Time) {
        let to_renew = self.keep.begin(kept, self.chance.rng(), time.now);
        self.renew(to_renew, time);
    }

    /// Renews a lock from its grant on.
    pub(super) fn begin_renewing(&mut self, claim: &Arc<Claim>, renew: Renew, time: Time) {
        let stop_at = renew.limit.map_or(Moment::NEVER, |limit| time.now.after(limit));
        let renewal = Renewal::every(renew.every, stop_at);
        if claim.keeping(|keeping| keeping.keep(Some(renewal))) {
            self.begin_keeping(Kept::new(Arc::clone(claim)), time);
        }
    }

    pub(super) fn renew(&mut self, kept: Option<Kept>, time: Time) {
        let Some(kept) = kept else { return };
        let Some(claim) = kept.claim().map(Arc::clone) else { return };
        let (ttl, until) = (claim.ttl(), claim.until());
        self.extend(claim, ttl, Asker::Keeper(kept), until, time);
    }

    pub(super) fn after_renewal(
        &mut self,
        id: usize,
        kept: Kept,
        outcome: Result<(), Error>,
        key_is_gone: bool,
        time: Time,
    ) {
        let Some(claim) = kept.claim().map(Arc::clone) else { return };
        let well = outcome.is_ok();
        let lost = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost);
        self.after_extension(id, &outcome, false, time);
        let to_renew = self.keep.renewed(kept, outcome, self.chance.rng(), time.now);
        self.renew(to_renew, time);
        if lost {
            self.leave(&claim, time);
        }
        self.keep.note(well || key_is_gone);
    }

    /// After an extension that a quorum has agreed to: sets the key again on
    /// the nodes that surely do not have it. That the lock is ours has just been
    /// proven without them, so this is no vote for it: from the next time on.
    pub(super) fn heal(&mut self, id: usize, among: NodeSet, time: Time) {
        let Some(op) = self.ops.get(id) else { return };
        let (claim, ttl, now) = (Arc::clone(&op.head.claim), op.head.ttl, time.now);
        let missing = among.minus(claim.suspects()).minus(op.head.awaited);
        if missing.is_empty() || claim.remaining(now).is_zero() {
            return;
        }
        // A number keeps a healing that comes late from setting the key for nobody, if others have
        // asked since; and must go with it where any went before.
        let number = self.healing_number(&claim, now);
        if number.is_none() && claim.sent().is_some() {
            return;
        }
        missing.iter().for_each(|node| claim.note_healing(node));
        claim.may_live_until(self.config.lease(now, ttl).gone_by);
        let give_up_at = now.after(self.config.node_timeout(ttl));
        let head = Head::new(claim, ttl, now, give_up_at).with_number(number);
        self.start(head, Kind::Healing(Healing), missing, time);
    }

    fn healing_number(&mut self, claim: &Claim, now: Moment) -> Option<Number> {
        if mutant::is(Mutant::HealsWithTheSameNumber) {
            return claim.fence();
        }
        self.next_number(claim, now)
    }

    /// A number above all that were sent for `claim`, if any was.
    fn next_number(&mut self, claim: &Claim, now: Moment) -> Option<Number> {
        let sent = claim.sent()?;
        let number = self.numbers.propose(sent.get(), now)?;
        claim.note_sent(number);
        Some(number)
    }

    /// Heals the nodes that were found without the key after the extension was
    /// won.
    pub(super) fn heal_missing(&mut self, id: usize, time: Time) {
        if let Some(op) = self.ops.get_mut(id)
            && let Kind::Extension(extension) = &mut op.kind
        {
            let missing = extension.take_missing();
            if !missing.is_empty() {
                self.heal(id, missing, time);
            }
        }
    }
}
