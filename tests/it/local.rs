//! Servers that are processes of this machine, whatever the others are: for
//! what only such a one can have, a socket's file or certificates of its own.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, Write as _},
    net::{Ipv4Addr, UdpSocket},
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

/// A port of its own, of those that no outgoing connection has. As long as it
/// lives, nobody who asks in the same way gets it.
pub struct Port {
    pub number: u16,
    _claim: UdpSocket,
}

impl Port {
    pub fn new() -> Self {
        (0..256)
            .find_map(|_| {
                let number = 10_000 + (draw() % 22_000) as u16;
                let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self { number, _claim: claim })
            })
            .expect("a free port")
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
        // The second is how servers before version 7 say it.
        Err(FixtureError::Start { reason, .. })
            if reason.contains("TLS support") || reason.contains("'tls-cert-file ") =>
        {
            "the program has no TLS".to_owned()
        }
        Err(error) => return Err(error),
    };
    skipped(&format!("it takes a local server: {why}"));
    Ok(None)
}

/// Says that a test was passed over, past what captures a test's output: somebody should know.
pub fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped, {why}");
}
