//! What runs a server of ours: a process, or a container.

use anyhow::Result;

#[cfg(feature = "docker")]
use crate::container::Container;
use crate::process::Process;

#[derive(Debug)]
pub(crate) enum Engine {
    Process(Process),
    /// In a box: it is much larger.
    #[cfg(feature = "docker")]
    Container(Box<Container>),
}

impl Engine {
    pub(crate) async fn start_again(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.start_again(),
            #[cfg(feature = "docker")]
            Self::Container(container) => container.start_again().await,
        }
    }

    pub(crate) async fn stop(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.stop().await,
            #[cfg(feature = "docker")]
            Self::Container(container) => container.stop().await,
        }
    }

    pub(crate) async fn kill(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.kill().await,
            #[cfg(feature = "docker")]
            Self::Container(container) => container.kill().await,
        }
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.pause(),
            #[cfg(feature = "docker")]
            Self::Container(container) => container.pause().await,
        }
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.resume(),
            #[cfg(feature = "docker")]
            Self::Container(container) => container.resume().await,
        }
    }

    /// Says why it is not there any more, if it is not.
    pub(crate) async fn check(&self) -> Result<()> {
        match self {
            Self::Process(process) => process.check(),
            #[cfg(feature = "docker")]
            Self::Container(container) => container.check().await,
        }
    }

    /// The name of its container, if it is in one.
    pub(crate) fn container(&self) -> Option<&str> {
        match self {
            Self::Process(_) => None,
            #[cfg(feature = "docker")]
            Self::Container(container) => Some(container.name()),
        }
    }

    pub(crate) fn log_tail(&self) -> String {
        match self {
            Self::Process(process) => process.log_tail(),
            #[cfg(feature = "docker")]
            Self::Container(container) => container.log_tail(),
        }
    }
}
