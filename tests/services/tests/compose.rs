//! `compose.yaml` starts the same servers.

use std::fs;

use anyhow::Result;
use chat_test_services::images::{KAFKA, POSTGRES, REDIS};

#[test]
fn compose_takes_the_images_of_the_table_and_no_others() -> Result<()> {
    let compose = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../compose.yaml"))?;
    let found: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    let expected = [POSTGRES, REDIS, KAFKA].map(|image| image.to_string());
    assert_eq!(found, expected);
    Ok(())
}
