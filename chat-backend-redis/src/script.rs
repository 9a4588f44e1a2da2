//! Scripts, each one atomic step on the server.

use fred::{
    clients::Client,
    interfaces::LuaInterface as _,
    types::{Key, Value},
    util::sha1_hash,
};

use crate::RedisError;

/// A script and its digest, by which the server knows it after the first time.
#[derive(Debug)]
pub(crate) struct Script {
    source: String,
    digest: String,
}

impl Script {
    pub(crate) fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        Self { digest: sha1_hash(&source), source }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Runs it where its keys are. A server that does not know it, such as a new one, is told it.
    pub(crate) async fn call(
        &self,
        client: &Client,
        keys: &[String],
        arguments: impl AsRef<[Value]>,
    ) -> Result<Value, RedisError> {
        let arguments = arguments.as_ref();
        let keys = || keys.iter().map(Key::from).collect::<Vec<_>>();
        match client.evalsha(self.digest.as_str(), keys(), arguments.to_vec()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                Ok(client.eval(self.source.as_str(), keys(), arguments.to_vec()).await?)
            }
            done => Ok(done?),
        }
    }
}

/// A whole number that a script answered.
pub(crate) fn integer(value: &Value) -> Result<i64, RedisError> {
    value.as_i64().ok_or_else(|| RedisError::corrupt("a script answered no number"))
}
