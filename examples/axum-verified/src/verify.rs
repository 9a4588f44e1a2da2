//! `verify`: judges signed texts, one line of JSON each, so that any file of vectors can be run against what the server does.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
    time::Duration,
};

use chat_core::{Clock as _, SystemClock, Timestamp};
use chat_credentials::{Jws, Key, KeySet, Part, Reason, Reject, TrustedIssuers, Verifier};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longer texts are refused.
const MAX_BYTES: usize = 1 << 20;

/// What is looked at of a line; whatever else it has is for whoever reads the file.
#[derive(Deserialize)]
struct Line<'a> {
    token: String,
    #[serde(default)]
    kind: Kind,
    #[serde(borrow)]
    jwk: Option<&'a RawValue>,
    #[serde(borrow)]
    jwks: Option<&'a RawValue>,
    /// Seconds; else the clock of this machine.
    now: Option<f64>,
    aud: Option<String>,
    nonce: Option<String>,
    /// The trusted ones; else everybody.
    issuers: Option<Vec<String>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Jws,
    Jwt,
    Vc,
    Vp,
}

/// Reads stdin to its end. The exit code is 0 whatever was judged.
pub(crate) fn main() -> ExitCode {
    match run(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `accept` or `reject: ` and the reason for each line that has something in it.
///
/// # Errors
/// Those of reading and writing.
fn run(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        match judge(&line) {
            Ok(()) => writeln!(output, "accept")?,
            Err(reason) => writeln!(output, "reject: {reason}")?,
        }
    }
    output.flush()
}

fn judge(line: &str) -> Result<(), String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| format!("the line: {error}"))?;
    let keys = line.keys().map_err(|reason| reason.of(Part::Token).to_string())?;
    line.check(keys).map_err(|reject| reject.to_string())
}

impl Line<'_> {
    fn keys(&self) -> Result<Option<KeySet>, Reason> {
        match (self.jwk, self.jwks) {
            (Some(jwk), None) => Key::jwk(jwk.get()).map(KeySet::one).map(Some),
            (None, Some(jwks)) => KeySet::jwks(jwks.get()).map(Some),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Reason::BadKey),
        }
    }

    fn check(&self, keys: Option<KeySet>) -> Result<(), Reject> {
        let unknown = Reason::UnknownKey.of(Part::Token);
        // What is before 1970 or after all time is taken as that.
        let at = |seconds: f64| {
            Timestamp::EPOCH.after(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
        };
        let now = self.now.map_or_else(|| SystemClock.now(), at);
        match self.kind {
            Kind::Jws => {
                let keys = keys.ok_or(unknown)?;
                let verified = Jws::parse(&self.token, MAX_BYTES).and_then(|jws| jws.verify(&keys).map(drop));
                verified.map_err(|reason| reason.of(Part::Token))
            }
            Kind::Jwt => self.verifier(None)?.token(&self.token, &keys.ok_or(unknown)?, now).map(drop),
            Kind::Vc => self.verifier(keys)?.credential(&self.token, now).map(drop),
            Kind::Vp => {
                let presentation = self.verifier(keys)?.presentation(&self.token, now)?;
                self.nonce.as_deref().map_or(Ok(()), |nonce| presentation.expect_nonce(nonce))
            }
        }
    }

    fn verifier(&self, keys: Option<KeySet>) -> Result<Verifier, Reject> {
        let issuers = match &self.issuers {
            None => TrustedIssuers::anybody(),
            Some(names) => names
                .iter()
                .try_fold(TrustedIssuers::new(), |issuers, name| issuers.with_did(name))
                .map_err(|reason| reason.of(Part::Credential))?,
        };
        let mut verifier =
            Verifier::new(issuers).with_max_bytes(MAX_BYTES).with_max_age(None).with_any_status();
        if let Some(audience) = &self.aud {
            verifier = verifier.with_audience(audience);
        }
        Ok(match keys {
            Some(keys) => verifier.with_keys(keys),
            None => verifier,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &str) -> Vec<String> {
        let mut output = Vec::new();
        run(lines.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn published_vectors_are_judged_line_by_line() {
        let lines = include_str!("../../../chat-credentials/tests/vectors/published.jsonl");
        let expected = lines.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["expect"].as_str().unwrap().to_owned()
        });
        assert_eq!(said(lines), expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_read_is_rejected_and_the_next_line_is_judged() {
        let said = said(
            "nonsense\n\n{}\n{\"token\":\"a.b.c\"}\n{\"token\":\"x\",\"kind\":\"jwe\"}\n{\"token\":\"\",\"kind\":\"vp\"}\n{\"token\":\"x\",\"jwk\":{\"kty\":\"oct\",\"kty\":\"oct\"}}\n",
        );
        assert_eq!(said.len(), 6);
        assert!(said.iter().all(|line| line.starts_with("reject: ")), "{said:?}");
        assert_eq!(said[2], "reject: the token is signed by a key that is not known");
        assert_eq!(said[4], "reject: the presentation is missing");
        assert_eq!(said[5], "reject: the token has a name twice in its JSON");
    }
}
