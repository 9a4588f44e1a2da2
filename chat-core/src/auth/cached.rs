//! placeholder
/// x
#[derive(Debug)]
pub struct Cached;
/// x
#[derive(Debug)]
pub struct CachedConfig;
