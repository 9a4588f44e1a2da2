//! What can be set: the table in the README.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use chat_backend_postgres::PostgresConfig;
use chat_backend_redis::{HotLogConfig, RedisConfig};
use chat_core::{
    auth::{JwtConfig, JwtKey},
    tiered::TieredSettings,
};
use chat_credentials::{Challenges, KeySet, TrustedIssuers, Verifier};
use example_support::{
    Origins,
    settings::{Environment, WrongSettings, address, duration, number, on_or_off, plain_name},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The settings that decide who is let in.
const DECIDE_WHO: [&str; 15] = [
    "JWT_SECRET",
    "JWT_JWKS",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "PRESENTATION_AUDIENCE",
    "TRUSTED_ISSUERS",
    "TRUSTED_ISSUER_KEYS",
    "CREDENTIAL_TYPES",
    "CREDENTIAL_STATUS",
    "PRESENTATION_MAX_AGE",
    "NONCE_SECRET",
    "NONCE_LIFETIME",
    "CLOCK_LEEWAY",
    "HOLDER_CLAIM",
    "CREDENTIAL_USER_CLAIM",
];

/// Settings that can work.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) postgres: PostgresConfig,
    pub(crate) redis: RedisConfig,
    pub(crate) hot_log: HotLogConfig,
    pub(crate) batches: TieredSettings,
    /// Messages of one room that may wait for the database.
    pub(crate) max_queue: u32,
    pub(crate) jwt: JwtConfig,
    pub(crate) verifier: Verifier,
    /// Where nonces are given out here.
    pub(crate) challenges: Option<Challenges>,
    pub(crate) holder_claim: String,
    pub(crate) user_claim: String,
    /// What a remembered yes was checked against.
    pub(crate) scope: [u8; 32],
    pub(crate) cached_in_process: Duration,
    pub(crate) cached_in_redis: Duration,
    pub(crate) origins: Origins,
    pub(crate) rate_limits: bool,
    pub(crate) drain_window: Duration,
}

/// The database alone, which is all that an import needs.
pub(crate) fn postgres(env: &mut Environment) -> Option<PostgresConfig> {
    let config = env.required_parsed(
        "DATABASE_URL",
        "the database, such as postgres://user:password@host:5432/database",
        PostgresConfig::from_url,
    );
    let schema = env.parsed("DATABASE_SCHEMA", PostgresConfig::DEFAULT_SCHEMA, plain_name);
    Some(config?.with_schema(schema?))
}

impl Settings {
    /// Reads everything before it says anything.
    pub(crate) fn read(mut env: Environment) -> Result<Self, WrongSettings> {
        let postgres = postgres(&mut env);
        let redis = env.required_parsed(
            "REDIS_URL",
            "Redis, such as redis://:password@host:6379",
            RedisConfig::from_url,
        );
        let prefix = env.parsed("REDIS_PREFIX", RedisConfig::DEFAULT_PREFIX, |prefix| {
            RedisConfig::new(Default::default()).with_prefix(prefix).check().map(|()| prefix.to_owned())
        });
        let batch_size = env.parsed("BATCH_SIZE", "100", number(1..=10_000));
        let longest = Duration::from_secs(60);
        let batch_wait = env.parsed("BATCH_WAIT", "1s", duration(Duration::from_millis(1)..=longest));
        let max_queue = env.parsed("MAX_QUEUE", "100000", number(1..=10_000_000));
        let listen = env.parsed("LISTEN", "127.0.0.1:8080", address);
        let leeway = env.parsed("CLOCK_LEEWAY", "5s", duration(Duration::ZERO..=Duration::from_secs(600)));
        let jwt = jwt(&mut env);
        let verifier = verifier(&mut env);
        let challenges = challenges(&mut env);
        let holder_claim = env.parsed("HOLDER_CLAIM", "did", claim);
        let user_claim = env.parsed("CREDENTIAL_USER_CLAIM", "userId", claim);
        let scope = scope(&mut env);
        let cached_in_process = env.parsed("CACHE_IN_PROCESS", "5m", duration(Duration::ZERO..=DAY));
        let cached_in_redis = env.parsed("CACHE_IN_REDIS", "1h", duration(Duration::ZERO..=DAY));
        let origins = env.parsed("ALLOWED_ORIGINS", "", Origins::parse);
        let rate_limits = env.parsed("RATE_LIMITS", "on", on_or_off);
        let drain_window = env.parsed("DRAIN_WINDOW", "2s", duration(Duration::ZERO..=longest));
        let settings = || {
            let mut batches = TieredSettings::default();
            batches.batch_entries = usize::try_from(batch_size?).ok()?;
            batches.batch_age = batch_wait?;
            Some(Self {
                listen: listen?,
                postgres: postgres?,
                redis: redis?.with_prefix(prefix?),
                hot_log: HotLogConfig::new().with_max_backlog(max_queue?.into()),
                batches,
                max_queue: max_queue?,
                jwt: jwt?.with_leeway(leeway?),
                verifier: verifier?.with_leeway(leeway?),
                challenges: challenges?,
                holder_claim: holder_claim?,
                user_claim: user_claim?,
                scope,
                cached_in_process: cached_in_process?,
                cached_in_redis: cached_in_redis?,
                origins: origins?,
                rate_limits: rate_limits?,
                drain_window: drain_window?,
            })
        };
        let settings = settings();
        env.finish_with(settings)
    }
}

/// A digest of all that decides who is let in: whoever was let in by other settings, or by another release, is checked once more.
fn scope(env: &mut Environment) -> [u8; 32] {
    let mut digest = Sha256::new();
    let kind = concat!("token and presentation ", env!("CARGO_PKG_VERSION")).to_owned();
    let values = DECIDE_WHO.map(|name| env.optional(name).unwrap_or_default());
    for value in std::iter::once(kind).chain(values) {
        // The length in front keeps two values from being read as two others.
        digest.update((value.len() as u64).to_be_bytes());
        digest.update(value);
    }
    digest.finalize().into()
}

/// The tokens: one secret, or the public keys of whoever issues them.
fn jwt(env: &mut Environment) -> Option<JwtConfig> {
    let keys = match env.optional("JWT_JWKS") {
        Some(set) => env.take("JWT_JWKS", JwtKey::jwks(&set)),
        None => env
            .required_parsed("JWT_SECRET", "what signs the access tokens (HS256); or JWT_JWKS", |secret| {
                JwtKey::hs256(secret)
            })
            .map(|key| vec![key]),
    };
    let (issuer, audience) = (env.optional("JWT_ISSUER"), env.optional("JWT_AUDIENCE"));
    let jwt = issuer.into_iter().fold(JwtConfig::new(keys?), JwtConfig::with_issuer);
    Some(audience.into_iter().fold(jwt, JwtConfig::with_audience))
}

/// `Some(None)`: whoever presents makes the nonces.
#[expect(clippy::option_option, reason = "wrong is not the same as not set")]
fn challenges(env: &mut Environment) -> Option<Option<Challenges>> {
    let lifetime = env.parsed("NONCE_LIFETIME", "5m", duration(SECOND..=DAY));
    let Some(secret) = env.optional("NONCE_SECRET") else { return lifetime.map(|_| None) };
    let needs = format!("needs at least {} bytes", Challenges::MIN_SECRET_BYTES);
    let challenges = env.take("NONCE_SECRET", Challenges::new(secret.as_bytes()).ok_or(needs));
    Some(Some(challenges?.with_lifetime(lifetime?)))
}

/// What presentations and credentials have to be.
fn verifier(env: &mut Environment) -> Option<Verifier> {
    let audiences = env.required_parsed(
        "PRESENTATION_AUDIENCE",
        "this service's name in the presentations' `aud`; several with commas between",
        names,
    );
    let dids = env.optional("TRUSTED_ISSUERS");
    let keys = env.optional("TRUSTED_ISSUER_KEYS");
    if dids.is_none() && keys.is_none() {
        env.wrong(
            "TRUSTED_ISSUERS",
            "is needed: whose credentials are believed, did:key or did:jwk with commas between; or TRUSTED_ISSUER_KEYS",
        );
    }
    let issuers = dids.map_or(Ok(TrustedIssuers::new()), |list| by_did(&list));
    let issuers = env.take("TRUSTED_ISSUERS", issuers);
    let keys = keys.map_or(Ok(BTreeMap::new()), |text| key_sets(&text));
    let keys = env.take("TRUSTED_ISSUER_KEYS", keys);
    let types = env.optional("CREDENTIAL_TYPES").map_or(Ok(Vec::new()), |list| names(&list));
    let types = env.take("CREDENTIAL_TYPES", types);
    let max_age = env.parsed("PRESENTATION_MAX_AGE", "24h", duration(SECOND..=DAY * 366));
    let status = env.parsed("CREDENTIAL_STATUS", "refused", |text| match text {
        "refused" => Ok(false),
        "ignored" => Ok(true),
        _ => Err("must be refused or ignored"),
    });
    let issuers = keys?.iter().fold(issuers?, |issuers, (name, keys)| issuers.with_keys(name, keys.clone()));
    let verifier = Verifier::new(issuers).with_max_age(Some(max_age?));
    let verifier = if status? { verifier.with_any_status() } else { verifier };
    let verifier = audiences?.into_iter().fold(verifier, Verifier::with_audience);
    Some(types?.into_iter().fold(verifier, Verifier::with_type))
}

fn by_did(list: &str) -> Result<TrustedIssuers, String> {
    names(list)?.iter().try_fold(TrustedIssuers::new(), |issuers, name| {
        issuers
            .with_did(name)
            .map_err(|_| format!("{name:?} is no did:key or did:jwk with a key that can be used"))
    })
}

/// An object with a JWK set for each issuer's name.
fn key_sets(text: &str) -> Result<BTreeMap<String, KeySet>, String> {
    let sets: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(text).map_err(|_| "must be an object with a JWK set for each issuer")?;
    let read = |(name, set): (String, Box<RawValue>)| match KeySet::jwks(set.get()) {
        Ok(keys) => Ok((name, keys)),
        Err(_) => Err(format!("{name:?}: is no JWK set with public keys that can be used")),
    };
    sets.into_iter().map(read).collect()
}

/// At least one: for what is checked against a list, an empty one would be no check at all.
fn names(list: &str) -> Result<Vec<String>, &'static str> {
    let names: Vec<_> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() { Err("must have at least one name, with commas between") } else { Ok(names) }
}

fn claim(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must be the name of a claim") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    const NEEDED: [(&str, &str); 5] = [
        ("DATABASE_URL", "postgres://u:hidden@h/d"),
        ("REDIS_URL", "redis://:hidden@h"),
        ("JWT_SECRET", "a secret for tests that is long enough"),
        ("PRESENTATION_AUDIENCE", "https://chat.example"),
        ("TRUSTED_ISSUERS", ISSUER),
    ];

    fn wrong(pairs: &[(&str, &str)]) -> String {
        Settings::read(Environment::from_pairs(pairs.iter().copied())).err().unwrap().to_string()
    }

    #[test]
    fn all_that_is_missing_or_wrong_is_named_at_once() {
        let missing = wrong(&[]);
        for (name, _) in NEEDED {
            assert!(missing.contains(&format!("\n  {name}: is needed")), "{name} is not in: {missing}");
        }
        let pairs = [
            ("DATABASE_URL", "mysql://u:hidden@h/d"),
            ("DATABASE_SCHEMA", "a; drop"),
            ("REDIS_PREFIX", "{}"),
            ("BATCH_SIZE", "0"),
            ("BATCH_WAIT", "1h"),
            ("MAX_QUEUE", "many"),
            ("LISTEN", "nowhere"),
            ("CLOCK_LEEWAY", "1h"),
            ("JWT_SECRET", "too short"),
            ("TRUSTED_ISSUERS", "did:web:issuer.example"),
            ("TRUSTED_ISSUER_KEYS", "{\"https://issuer.example\":{\"keys\":[]}}"),
            ("CREDENTIAL_STATUS", "maybe"),
            ("PRESENTATION_MAX_AGE", "0s"),
            ("CACHE_IN_PROCESS", "2days"),
            ("CACHE_IN_REDIS", "x"),
            ("NONCE_SECRET", "too short"),
            ("NONCE_LIFETIME", "0s"),
            ("RATE_LIMITS", "some"),
            ("DRAIN_WINDOW", "2h"),
        ];
        let all = wrong(&pairs);
        for (name, _) in pairs {
            assert!(all.contains(&format!("\n  {name}: ")), "{name} is not in: {all}");
        }
        assert!(!all.contains("hidden") && !all.contains("too short"), "{all}");
    }

    #[test]
    fn a_list_without_a_name_turns_no_check_off() {
        for list in [",", " ", " , ,"] {
            for name in ["PRESENTATION_AUDIENCE", "CREDENTIAL_TYPES", "TRUSTED_ISSUERS"] {
                let pairs = NEEDED.into_iter().filter(|(needed, _)| *needed != name).chain([(name, list)]);
                let said = wrong(&pairs.collect::<Vec<_>>());
                assert!(said.contains(&format!("\n  {name}: must have at least one name")), "{said}");
            }
        }
    }

    #[test]
    fn what_is_needed_is_enough() {
        let settings =
            Settings::read(Environment::from_pairs(NEEDED)).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!((settings.batches.batch_entries, settings.batches.batch_age), (100, SECOND));
        assert_eq!(settings.cached_in_process, Duration::from_secs(300));
        assert_eq!(settings.cached_in_redis, Duration::from_secs(3_600));
        for (name, other) in [
            ("JWT_SECRET", "another secret for tests that is long enough"),
            ("PRESENTATION_AUDIENCE", "https://shop.example"),
            ("CREDENTIAL_TYPES", "MembershipCredential"),
            ("NONCE_SECRET", "another secret for tests that is long enough"),
        ] {
            let others = Settings::read(Environment::from_pairs(NEEDED.into_iter().chain([(name, other)])));
            assert_ne!(others.unwrap_or_else(|wrong| panic!("{wrong}")).scope, settings.scope, "{name}");
        }
        let mut pairs = NEEDED.to_vec();
        pairs[4] = (
            "TRUSTED_ISSUER_KEYS",
            r#"{"https://issuer.example":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}}"#,
        );
        assert!(Settings::read(Environment::from_pairs(pairs)).is_ok());
    }
}
