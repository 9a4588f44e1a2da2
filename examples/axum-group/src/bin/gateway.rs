//! A gateway of the group chat, or with `import` the one who takes over another system's rows.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@localhost/chat REDIS_URL=redis://localhost KAFKA_BROKERS=localhost:9092 \
//!   JWT_SECRET=… cargo run -p example-axum-group --bin example-axum-group
//! ```
//!
//! prints `listening on http://…`.

use std::{env, process::ExitCode};

use anyhow::bail;
use example_axum_group::GatewaySettings;
use example_support::settings::Environment;

fn main() -> ExitCode {
    example_support::run(async {
        let settings = GatewaySettings::read(Environment::from_process())?;
        let arguments: Vec<String> = env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => example_axum_group::serve(settings).await,
            ["import"] => example_axum_group::import(&settings).await,
            _ => bail!("usage: example-axum-group [import]"),
        }
    })
}
