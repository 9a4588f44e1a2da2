//! `compose.yaml` starts the same servers.

use std::fs;

use anyhow::{Context as _, Result};
use chat_test_services::{
    Postgres, Redis,
    images::{KAFKA, POSTGRES, REDIS},
};
use url::Url;

fn compose() -> Result<String> {
    Ok(fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../compose.yaml"))?)
}

/// The address that its first lines have for a variable.
fn documented(compose: &str, variable: &str) -> Result<String> {
    let export = format!("export {variable}=");
    let address = compose.lines().find_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix(&export));
    Ok(address.with_context(|| format!("{variable} is not documented"))?.to_owned())
}

/// What does not differ from run to run.
fn form(address: &str) -> Result<Url> {
    let mut url = Url::parse(address)?;
    assert!(url.password().is_some() && url.port().is_some(), "{address}");
    for changed in [url.set_password(Some("password")), url.set_port(Some(1))] {
        assert_eq!(changed, Ok(()));
    }
    Ok(url)
}

#[test]
fn compose_takes_the_images_of_the_table_and_no_others() -> Result<()> {
    let compose = compose()?;
    let found: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    let expected = [POSTGRES, REDIS, KAFKA].map(|image| image.to_string());
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn compose_has_the_ports_and_the_password_that_it_documents() -> Result<()> {
    let compose = compose()?;
    for (variable, inner) in [("CHAT_TEST_POSTGRES_URL", 5432), ("CHAT_TEST_REDIS_URL", 6379)] {
        let url = Url::parse(&documented(&compose, variable)?)?;
        let outer = url.port().context("a port")?;
        assert!(compose.contains(&format!(r#"ports: ["127.0.0.1:{outer}:{inner}"]"#)), "{variable}");
        let password = url.password().context("a password")?;
        for given in ["POSTGRES_PASSWORD: ", "--requirepass "] {
            assert!(compose.contains(&format!("{given}{password}")), "{variable}");
        }
    }
    let kafka = documented(&compose, "CHAT_TEST_KAFKA_URL")?;
    let port = kafka.strip_prefix("127.0.0.1:").context("an address of this machine")?;
    assert!(compose.contains(&format!(r#"ports: ["127.0.0.1:{port}:{port}"]"#)));
    assert!(compose.contains(&format!("KAFKA_ADVERTISED_LISTENERS: DIRECT://{kafka}\n")));
    Ok(())
}

/// `cargo xtask services up` prints the addresses of these.
#[tokio::test]
async fn the_addresses_of_compose_are_those_of_services_up_but_for_port_and_password() -> Result<()> {
    let compose = compose()?;
    let (postgres, redis) = (Postgres::private().await?, Redis::private().await?);
    for (variable, url) in [("CHAT_TEST_POSTGRES_URL", postgres.url()), ("CHAT_TEST_REDIS_URL", redis.url())]
    {
        assert_eq!(form(&documented(&compose, variable)?)?, form(url)?, "{variable}");
    }
    Ok(())
}
