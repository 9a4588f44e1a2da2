use std::fmt;

use async_trait::async_trait;

use crate::Result;

/// What every part has: a name for reports, and a way to ask whether it works.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A short name for health reports, metrics and errors, for example `postgres`.
    fn name(&self) -> &'static str;

    /// Asks the store behind it for a sign of life, with no effect on anything.
    ///
    /// # Errors
    /// Whatever stands in the way of using it now.
    async fn health(&self) -> Result<()>;
}
