//! Logs that are made up, with and without what must not be.

use super::*;
use crate::{clock::SECOND, fault::Kind};

const MS: u64 = SECOND / 1000;

/// Builds a history: times are milliseconds.
struct Story(History);

impl Story {
    fn new(mode: Mode) -> Self {
        let notes = vec![Note::Began { at: 0 }];
        let client = |process| Client { process, mode, events: Vec::new() };
        Self(History { notes, clients: (0..3).map(client).collect() })
    }

    fn say(mut self, process: u32, event: Event) -> Self {
        self.0.clients[process as usize].events.push(event);
        self
    }

    fn note(mut self, note: Note) -> Self {
        self.0.notes.push(note);
        self
    }

    /// Asks at `from` for the key of its mode, has it at once, and is believed until `until`.
    fn holds(self, process: u32, call: u64, from: u64, until: u64, number: Option<u64>) -> Self {
        let key = format!("{}:0", self.0.clients[0].mode);
        self.say(process, Event::Asked { call, key, at: from * MS, limit: 0 })
            .say(process, Event::Granted { call, at: from * MS, until: until * MS, number })
    }

    fn lets_go(self, process: u32, call: u64, at: u64) -> Self {
        self.say(process, Event::LetGo { call, at: at * MS })
    }

    fn writes(self, process: u32, call: u64, read: (u64, u64), found: u64, at: u64) -> Self {
        let key = format!("{}:0", self.0.clients[0].mode);
        let (read_at, at) = (read.1 * MS, at * MS);
        let write = Write { process, call, key, read_at, read: read.0, at, found, accepted: true };
        self.note(Note::Wrote(write))
    }

    fn findings(&self) -> Findings {
        check(&self.0, self.0.clients[0].mode)
    }
}

#[test]
fn holders_one_after_the_other_are_well() {
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .lets_go(0, 1, 100)
        .holds(1, 1, 101, 600, None)
        .holds(2, 1, 600, 700, None);
    let findings = story.findings();
    assert_eq!((findings.grants, findings.overlaps()), (3, 0));
}

#[test]
fn two_who_believe_at_once_overlap() {
    let story = Story::new(Mode::Plain).holds(0, 1, 10, 500, None).holds(1, 1, 499, 900, None);
    assert_eq!(story.findings().overlaps(), 1);
}

#[test]
fn three_at_once_are_three_pairs() {
    let mut story = Story::new(Mode::Plain);
    for process in 0..3 {
        story = story.holds(process, 1, 10 + u64::from(process), 500, None);
    }
    assert_eq!(story.findings().overlaps(), 3);
}

#[test]
fn another_key_is_no_overlap() {
    let asked = Event::Asked { call: 1, key: "plain:1".to_owned(), at: 20 * MS, limit: 0 };
    let granted = Event::Granted { call: 1, at: 20 * MS, until: 400 * MS, number: None };
    let story = Story::new(Mode::Plain).holds(0, 1, 10, 500, None).say(1, asked).say(1, granted);
    assert_eq!(story.findings().overlaps(), 0);
}

#[test]
fn one_that_extended_is_believed_for_longer() {
    let looked = Event::Looked { call: 1, at: 400 * MS, until: 900 * MS };
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .say(0, looked)
        .holds(1, 1, 600, 700, None);
    assert_eq!((story.findings().overlaps(), story.findings().revived), (1, 0));
}

#[test]
fn one_that_looks_after_its_end_believes_nothing() {
    let looked = Event::Looked { call: 1, at: 600 * MS, until: 600 * MS };
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .say(0, looked)
        .holds(1, 1, 550, 700, None);
    assert_eq!((story.findings().overlaps(), story.findings().revived), (0, 0));
}

#[test]
fn one_that_learns_of_its_loss_believes_no_more() {
    let looked = Event::Looked { call: 1, at: 200 * MS, until: 200 * MS };
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .say(0, looked)
        .holds(1, 1, 201, 700, None);
    assert_eq!(story.findings().overlaps(), 0);
}

#[test]
fn one_that_believes_again_is_noticed() {
    let looked = |at, until| Event::Looked { call: 1, at: at * MS, until: until * MS };
    let story = || Story::new(Mode::Plain).holds(0, 1, 10, 500, None);
    // It was extended since it looked last.
    assert_eq!(story().say(0, looked(600, 900)).findings().revived, 0);
    let again = story().say(0, looked(600, 600)).say(0, looked(650, 900));
    assert_eq!(again.findings().revived, 1);
}

#[test]
fn the_killed_believe_nothing_and_wait_for_nothing() {
    let asked = Event::Asked { call: 2, key: "plain:0".to_owned(), at: 60 * MS, limit: 0 };
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .say(0, asked)
        .note(Note::Killed { process: 0, at: 100 * MS })
        .holds(1, 1, 101, 600, None);
    assert_eq!((story.findings().overlaps(), story.findings().hangs), (0, 0));
}

#[test]
fn an_update_that_is_overwritten_is_lost() {
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 500, None)
        .holds(1, 1, 20, 500, None)
        .writes(0, 1, (0, 11), 0, 30)
        .writes(1, 1, (0, 21), 1, 40);
    let findings = story.findings();
    assert_eq!((findings.accepted, findings.lost, findings.lost_late), (2, 1, 0));
}

#[test]
fn who_writes_after_its_end_is_told_apart() {
    let story = |mode| {
        Story::new(mode)
            .holds(0, 1, 10, 100, Some(1))
            .holds(1, 1, 200, 500, Some(2))
            .writes(1, 1, (0, 201), 0, 210)
            .writes(0, 1, (0, 11), 1, 300)
    };
    let plain = story(Mode::Plain).findings();
    assert_eq!((plain.lost, plain.lost_late), (0, 1));
    // A counter that compares numbers should have refused it.
    let fenced = story(Mode::Fenced).findings();
    assert_eq!((fenced.lost, fenced.lost_late), (1, 0));
}

#[test]
fn who_is_overwritten_by_a_late_writer_is_no_culprit() {
    let story = Story::new(Mode::Plain)
        .holds(0, 1, 10, 100, None)
        .holds(1, 1, 200, 500, None)
        .writes(0, 1, (0, 11), 0, 250)
        .writes(1, 1, (0, 201), 1, 300);
    assert_eq!((story.findings().lost, story.findings().lost_late), (0, 1));
}

#[test]
fn numbers_that_do_not_rise_are_noticed() {
    let story = |number| {
        Story::new(Mode::Fenced)
            .holds(0, 1, 10, 500, Some(7))
            .lets_go(0, 1, 50)
            .holds(1, 1, 60, 500, Some(number))
            .findings()
    };
    assert_eq!(story(8).inversions, 0);
    assert_eq!(story(7).inversions, 1);
    assert_eq!(story(6).inversions, 1);
}

#[test]
fn a_call_is_late_only_by_its_own_time() {
    let late = |stopped: bool, stalled: bool| {
        let asked = Event::Asked { call: 1, key: "plain:0".to_owned(), at: 0, limit: 100 * MS };
        let over = Event::Over { call: 1, at: 500 * MS, why: None };
        let mut story = Story::new(Mode::Plain).say(0, asked).say(0, over);
        if stopped {
            story = story
                .note(Note::Stopped { process: 0, at: 50 * MS })
                .note(Note::Continued { process: 0, at: 450 * MS });
        }
        if stalled {
            story = story.say(0, Event::Stalled { from: 60 * MS, until: 440 * MS });
        }
        story.findings().late
    };
    assert_eq!(
        [late(false, false), late(true, false), late(false, true), late(true, true)],
        [1, 0, 0, 0]
    );
    // What was both is owed once.
    let asked = Event::Asked { call: 1, key: "plain:0".to_owned(), at: 0, limit: 100 * MS };
    let story = Story::new(Mode::Plain)
        .say(0, asked)
        .say(0, Event::Stalled { from: 100 * MS, until: 400 * MS })
        .say(0, Event::Over { call: 1, at: 900 * MS, why: None })
        .note(Note::Stopped { process: 0, at: 150 * MS })
        .note(Note::Continued { process: 0, at: 350 * MS });
    assert_eq!(story.findings().late, 1);
}

#[test]
fn a_call_is_excused_by_a_plain_sleep_that_was_late_as_well() {
    let story = |call, at| {
        Story::new(Mode::Plain)
            .say(0, Event::Asked { call: 1, key: "plain:0".to_owned(), at: 0, limit: 100 * MS })
            .say(0, Event::Control { call, from: 100 * MS, until: 380 * MS })
            .say(0, Event::Stalled { from: 300 * MS, until: 450 * MS })
            .say(0, Event::Over { call: 1, at: at * MS, why: None })
            .findings()
    };
    assert_eq!((story(1, 750).late, story(1, 750).starved), (0, 1));
    assert_eq!((story(1, 751).late, story(1, 751).starved), (1, 0));
    // Another call's says nothing of this one.
    assert_eq!((story(2, 750).late, story(2, 750).starved), (1, 0));
    assert_eq!((story(2, 400).late, story(2, 400).starved), (0, 0));
}

#[test]
fn a_call_without_an_end_hangs() {
    let asked = || Event::Asked { call: 1, key: "plain:0".to_owned(), at: 0, limit: 100 * MS };
    assert_eq!(Story::new(Mode::Plain).say(0, asked()).findings().hangs, 1);
    let hung = |stalled: u64| {
        Story::new(Mode::Plain)
            .say(0, asked())
            .say(0, Event::Stalled { from: 50 * MS, until: (50 + stalled) * MS })
            .say(0, Event::Hung { call: 1, at: 5200 * MS })
            .findings()
    };
    assert_eq!((hung(100).hangs, hung(100).starved), (1, 0));
    assert_eq!((hung(101).hangs, hung(101).starved), (0, 1));
}

#[test]
fn keys_are_left_by_the_mode_that_took_them() {
    let left = |key: &str| Note::Left { node: 0, key: key.to_owned() };
    let story = Story::new(Mode::Plain).note(left("plain:0")).note(left("fenced:0"));
    assert_eq!(story.findings().keys_left, 1);
}

#[test]
fn grants_after_a_fault_are_counted_for_one_longest_ttl() {
    let struck = Note::Struck { kind: Kind::Flush, nodes: vec![0], at: 100 * MS };
    let story = Story::new(Mode::Plain)
        .note(struck)
        .holds(0, 1, 99, 100, None)
        .holds(1, 1, 100, 150, None)
        .holds(0, 2, 600, 650, None)
        .holds(0, 3, 601, 650, None);
    let findings = story.findings();
    assert_eq!(findings.after_fault, 2);
    let of_kind = OfKind { faults: 1, grants: 3, soon: 2, overlaps: 1 };
    assert_eq!(findings.kinds, BTreeMap::from([("flush", of_kind)]));
}
