//! A gateway of the group chat, or with `import` the one who takes over another system's rows.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@localhost/chat REDIS_URL=redis://localhost KAFKA_BROKERS=localhost:9092 \
//!   JWT_SECRET=… cargo run -p example-axum-group --bin example-axum-group
//! ```
//!
//! prints `listening on http://…`.

use std::process::ExitCode;

use anyhow::bail;
use example_axum_group::GatewaySettings;
use example_support::{WrongUsage, import::explained, settings::Environment};

const USAGE: &str = "\
usage: example-axum-group [import]

  (nothing)  serve
  import     take over the rows of an older system, from the views in IMPORT_SCHEMA

Settings are environment variables; DATABASE_URL, REDIS_URL, KAFKA_BROKERS and JWT_SECRET are needed. The README lists them.";

fn main() -> ExitCode {
    example_support::run(USAGE, async |arguments| {
        let settings = || GatewaySettings::read(Environment::from_process());
        match *arguments {
            [] => example_axum_group::serve(settings()?).await,
            ["import"] => example_axum_group::import(&settings()?)
                .await
                .map_err(|error| explained(error, "docs/migrating/group.md")),
            _ => bail!(WrongUsage),
        }
    })
}
