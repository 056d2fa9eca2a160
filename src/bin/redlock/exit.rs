//! Why the program ends: a number for scripts, and a line for people that never repeats
//! a secret.

use std::{fmt, io::Write as _, process::ExitCode};

/// The numbers, as `--help` shows them. 64, 69 and 78 are those of sysexits.h:
/// a supervisor should try again after 69, and not after the other two.
pub(crate) const CODES: &str = "\
Exit status:
    0  ended as asked, by SIGTERM or SIGINT
   64  the command line, or the environment in its place, makes no sense
   69  can't start now: the address is in use, no server program for --dev
   78  a file or a secret that the settings name can't be read or used
  130  ended at once, by a second SIGINT
  143  ended at once, by a second SIGTERM";

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const CONFIG: u8 = 78;

/// Why the program exits, and with which status.
#[derive(Debug)]
pub(crate) enum Exit {
    /// A failure: its status, and a message that says what to change.
    Failed { code: u8, message: String },
    /// A message of clap's, which may be just the help.
    Clap(Box<clap::Error>),
}

impl Exit {
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Failed { code: USAGE, message: message.to_string() }
    }

    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self::Failed { code: UNAVAILABLE, message: message.to_string() }
    }

    pub(crate) fn config(message: impl fmt::Display) -> Self {
        Self::Failed { code: CONFIG, message: message.to_string() }
    }

    /// Prints the message, and returns the status.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Failed { code, message } => {
                // If nobody can read the message, the status has to do.
                let _ = writeln!(std::io::stderr(), "redlock: {message}");
                code.into()
            }
            Self::Clap(error) => {
                let _ = error.print();
                // Clap's own status would be 2.
                if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
            }
        }
    }
}

impl From<clap::Error> for Exit {
    fn from(error: clap::Error) -> Self {
        Self::Clap(Box::new(error))
    }
}
