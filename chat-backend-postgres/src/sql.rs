//! Statements with the schema's name in place: nothing depends on the search path, which no pooler keeps.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Postgres, postgres::PgArguments, query::Query};

/// Makes statements for one schema.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    schema: Arc<str>,
    /// Prepared once per connection and kept there; a pooler in transaction mode does not allow it.
    persistent: bool,
}

impl Sql {
    pub(crate) fn new(schema: &str, persistent: bool) -> Self {
        Self { schema: schema.into(), persistent }
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The text with every `$chat.` replaced by the schema's name, and `$life` by the row with the store's epoch.
    ///
    /// The `LIMIT` is for the server: of a table that has never been analysed it believes that it has hundreds of rows, and rather
    /// than look up a page so often it would read all of another table.
    pub(crate) fn text(&self, statement: &str) -> String {
        let schema = format!("\"{}\".", self.schema);
        let text = statement.replace("$chat.", &schema);
        if !text.contains("$life") {
            return text;
        }
        text.replace("$life", &format!("(SELECT epoch FROM {schema}store LIMIT 1)"))
    }

    /// A statement. Its text is ours and the schema's name was checked, so nothing of a user's is in it.
    pub(crate) fn query<'q>(&self, statement: &str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(self.text(statement))).persistent(self.persistent)
    }
}

/// Whether a schema may have this name.
pub(crate) fn is_schema_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    name.len() <= 63
        && !name.starts_with("pg_")
        && chars.next().is_some_and(first)
        && chars.all(|c| first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schemas_name_cannot_smuggle_anything() {
        for name in ["chat", "_a1", "a"] {
            assert!(is_schema_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", "1a", "Chat", "a b", "a\"", "a.b", "a;drop", "pg_chat", "ä", &long] {
            assert!(!is_schema_name(name), "{name}");
        }
        let text = |statement| Sql::new("x", true).text(statement);
        assert_eq!(text("SELECT 1 FROM $chat.rooms"), "SELECT 1 FROM \"x\".rooms");
        assert_eq!(text("SELECT 1 FROM $life s"), "SELECT 1 FROM (SELECT epoch FROM \"x\".store LIMIT 1) s");
    }
}
