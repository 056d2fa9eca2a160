//! The last step of a builder: a client with its driver. It checks the settings and
//! connects to nothing.

use super::Redlock;
use crate::{config::Builder, error::Error};

impl Builder {
    /// Checks the settings and starts the client. It connects to no node before the
    /// first request, so a minority may be down. If a node wants TLS, it reads which
    /// authorities the system trusts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) says which
    /// setting can't work and what to change.
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) if the driver's thread can't be
    /// started.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock};
    /// let refused = Redlock::builder().build().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    /// assert!(refused.to_string().contains("there are no nodes"));
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn build(self) -> Result<Redlock, Error> {
        let driver_thread = self.wants_driver_thread();
        Redlock::start(self.check()?, driver_thread)
    }
}
