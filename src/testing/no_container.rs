//! Stands in for `container` where the feature `testing` is off. It never has a node.

use std::time::Duration;

use super::FixtureError;

#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) label: String,
}

pub(super) async fn image(_pull_limit: Duration) -> Result<Image, String> {
    Err("containers need the feature `testing`".to_owned())
}

#[derive(Debug)]
pub(super) enum ContainerNode {}

impl ContainerNode {
    pub(super) async fn start(_: Image, _: Vec<String>) -> Result<Self, FixtureError> {
        Err(FixtureError::Unavailable {
            backend: super::Backend::Docker,
            reason: "containers need the feature `testing`".to_owned(),
        })
    }

    pub(super) fn address(&self) -> String {
        match *self {}
    }

    pub(super) async fn pause(&self) -> Result<(), FixtureError> {
        match *self {}
    }

    pub(super) async fn resume(&self) -> Result<(), FixtureError> {
        match *self {}
    }

    pub(super) async fn kill(&self) -> Result<(), FixtureError> {
        match *self {}
    }

    pub(super) async fn restart(&self) -> Result<(), FixtureError> {
        match *self {}
    }

    pub(super) fn begin_removal(&mut self) {
        match *self {}
    }
}
