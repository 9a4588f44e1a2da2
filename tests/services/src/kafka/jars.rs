//! The jars of a Kafka broker, by Maven, and the Java to run them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{KIND, VERSION};
use crate::source;

/// The oldest Java that Kafka 4 runs on.
const JAVA_MAJOR: u32 = 17;

const POM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pom.xml");

/// The program `java`, recent enough.
pub(super) fn java() -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin")).into_iter().collect();
    folders.extend(source::path());
    let java = source::folder_with(&["java"], &folders)
        .map_err(|error| KIND.missing(&error.to_string()))?
        .join("java");
    let output = Command::new(&java).arg("-version").output().context("java -version")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match major(&said) {
        Some(major) if major >= JAVA_MAJOR => Ok(java),
        _ => Err(KIND.missing(&format!("it needs Java {JAVA_MAJOR} or later, and there is:\n{said}"))),
    }
}

/// What `java -version` says begins with `openjdk version "17.0.15" 2025-04-15`; up to Java 8 with `java version "1.8…`.
fn major(said: &str) -> Option<u32> {
    said.split('"').nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

/// The folder with the jars. The first call on this machine has Maven fetch them; afterwards no network is needed.
pub(super) fn folder() -> Result<PathBuf> {
    let kafka = target().join("kafka");
    let jars = kafka.join(VERSION);
    fs::create_dir_all(&kafka)?;
    // Other test binaries want them too; one fetches, the others wait.
    let lock = fs::File::create(kafka.join("lock"))?;
    lock.lock()?;
    if !jars.is_dir() {
        let fresh = tempfile::tempdir_in(&kafka)?;
        fetch(&fresh.path().join("jars"))?;
        fs::rename(fresh.path().join("jars"), &jars)?;
    }
    Ok(jars)
}

fn fetch(jars: &Path) -> Result<()> {
    let folders = source::path();
    let mvn = source::folder_with(&["mvn"], &folders)
        .map_err(|error| KIND.missing(&error.to_string()))?
        .join("mvn");
    let output = Command::new(mvn)
        .args([
            "--batch-mode",
            "--quiet",
            "--file",
            POM,
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .context("mvn")?;
    if !output.status.success() {
        bail!("Maven could not fetch Kafka: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Where Cargo builds this workspace.
fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => target.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_found_in_what_it_says() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("openjdk version \"26-ea\" 2026-03-17"), Some(26));
        assert_eq!(major("java version \"1.8.0_402\""), Some(1));
        assert_eq!(major("no Java"), None);
    }

    #[test]
    fn the_jars_are_of_the_version_that_their_folder_is_named_for() -> Result<()> {
        let pom = fs::read_to_string(POM)?;
        let (_, kafka) = pom.split_once("<artifactId>kafka_2.13</artifactId>").context("kafka_2.13")?;
        let version = kafka.split_once("<version>").and_then(|(_, rest)| rest.split_once("</version>"));
        assert_eq!(version.map(|(version, _)| version), Some(VERSION));
        Ok(())
    }
}
