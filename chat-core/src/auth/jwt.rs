//! placeholder
/// x
#[derive(Debug)] pub struct JwtAlgorithm;
/// x
#[derive(Debug)] pub struct JwtAuth;
/// x
#[derive(Debug)] pub struct JwtConfig;
/// x
#[derive(Debug)] pub struct JwtConfigError;
/// x
#[derive(Debug)] pub struct JwtKey;
/// x
#[derive(Debug)] pub struct JwtSigner;
