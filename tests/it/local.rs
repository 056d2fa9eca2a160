//! Servers that are processes of this machine, whatever the others are: for
//! what only such a one can have, a socket's file or certificates of its own.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, Write as _},
    path::PathBuf,
};

use redlock_quorum::testing::{Backend, Cluster, FixtureError};

/// A number that no one else draws.
pub fn draw() -> u64 {
    RandomState::new().hash_one(0)
}

/// A directory that goes with its owner.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("redlock-quorum-it-{:016x}", draw()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with these arguments. `None`, and a word on the output, where no
/// program for it is installed, or one that was built without TLS: then there
/// is nothing to test.
pub async fn server(
    args: impl IntoIterator<Item = String>,
) -> Result<Option<Cluster>, FixtureError> {
    let builder = Cluster::builder().nodes(1).backend(Backend::Process).server_args(args);
    let why = match builder.start().await {
        Ok(cluster) => return Ok(Some(cluster)),
        Err(FixtureError::Unavailable { reason, .. }) => reason,
        Err(FixtureError::Start { reason, .. }) if reason.contains("TLS support") => {
            "the program has no TLS".to_owned()
        }
        Err(error) => return Err(error),
    };
    // Past what captures a test's output: somebody should know.
    let _ = writeln!(io::stderr(), "skipped, it takes a local server: {why}");
    Ok(None)
}
