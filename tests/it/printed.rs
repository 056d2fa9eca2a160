//! What is printed and logged, kept to be looked at.

use std::{
    fmt::{Debug, Display, Write as _},
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Level,
    subscriber::{DefaultGuard, set_default},
};
use tracing_subscriber::fmt::MakeWriter;

/// Where there is only one subscriber, whether anyone wants to hear from a line
/// of code is asked on the thread that comes there first, which may be another
/// test's, and is never asked again. So there are always two.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| {
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE);
    Dispatch::new(subscriber.with_writer(io::sink).finish())
});

/// Everything that was printed, to look for secrets in.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<String>>);

impl Printed {
    /// Prints also what is logged on this thread, which the driver shares if it
    /// has none of its own, until the guard is dropped.
    pub fn log(&self, level: Level) -> DefaultGuard {
        LazyLock::force(&SECOND);
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        set_default(subscriber.with_writer(self.clone()).finish())
    }

    /// How many lines contain all of `words`.
    pub fn lines_with(&self, words: &[&str]) -> usize {
        let text = self.0.lock().unwrap();
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    pub fn debug(&self, what: &impl Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?} {what:#?}").unwrap();
    }

    /// An error, its sources, and what each node said.
    pub fn error(&self, error: &redlock_quorum::Error) {
        self.both(error);
        for report in error.nodes() {
            self.both(report);
            self.debug(report.answer());
        }
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            self.both(error);
            source = error.source();
        }
    }

    fn both(&self, what: &(impl Debug + Display + ?Sized)) {
        writeln!(self.0.lock().unwrap(), "{what} {what:?}").unwrap();
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }

    pub fn assert_without(&self, secret: &[u8]) {
        let secret = String::from_utf8_lossy(secret);
        let text = self.0.lock().unwrap();
        let line = text.lines().find(|line| line.contains(&*secret));
        assert_eq!(line, None, "a secret was printed");
    }
}

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Printed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
