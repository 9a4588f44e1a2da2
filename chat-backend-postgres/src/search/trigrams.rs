//! The index over the search's texts, where the database has the extension `pg_trgm`.

use sqlx::Row as _;

use crate::{PostgresError, connections::Connections, lease::Lease, schema, sql::Sql};

/// Up to so many texts the index is made at once, which takes a second or two and holds up edits meanwhile. For more, whoever
/// runs the database makes it, beside what goes on.
const FEW_TEXTS: i64 = 100_000;

const LOOK: &str = "
SELECT (SELECT n.nspname FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'pg_trgm')
        AS extension,
    to_regclass('$chat.search_words') IS NOT NULL AS there,
    (SELECT count(*) FROM (SELECT 1 FROM $chat.search LIMIT 100001) f) AS texts";

/// Whether there is an index; one is made if that is done quickly. A search works without it, so no failure stands in the way.
pub(crate) async fn prepare(connections: &Connections, sql: &Sql) -> bool {
    let prepared = async {
        let mut lease = connections.lease().await?;
        schema::begin(&mut lease).await?;
        let done = prepare_within(&mut lease, sql).await;
        if done.is_ok() {
            lease.commit().await?;
        } else {
            lease.roll_back().await;
        }
        done
    };
    prepared.await.unwrap_or_else(|error: PostgresError| {
        tracing::warn!(%error, "the trigram index could not be made: a search reads messages one after the other");
        false
    })
}

async fn prepare_within(lease: &mut Lease, sql: &Sql) -> Result<bool, PostgresError> {
    // Of nodes that start together one makes it, and the others find it.
    schema::lock(lease, sql).await?;
    let row = lease.one(sql.query(LOOK)).await?;
    if row.try_get("there")? {
        tracing::debug!("the search uses its trigram index");
        return Ok(true);
    }
    let Some(place) = row.try_get::<Option<String>, _>("extension")? else {
        tracing::info!(
            "the database has no extension pg_trgm: a search reads messages from the newest on until its page is full"
        );
        return Ok(false);
    };
    let operators = format!("\"{}\".gin_trgm_ops", place.replace('"', "\"\""));
    if row.try_get::<i64, _>("texts")? > FEW_TEXTS {
        let schema = sql.schema();
        tracing::warn!(
            "pg_trgm is there, but the search has too many texts to index them now; run: CREATE INDEX CONCURRENTLY \
             search_words ON \"{schema}\".search USING gin (body {operators})"
        );
        return Ok(false);
    }
    let create = sql.text(&format!(
        "CREATE INDEX IF NOT EXISTS search_words ON $chat.search USING gin (body {operators}) WITH (fastupdate = on)"
    ));
    lease.plain(&create).await?;
    tracing::info!("the search uses a trigram index of pg_trgm");
    Ok(true)
}
