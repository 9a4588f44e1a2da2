-- Fragments of every message's text, made by this library (see `search/terms.rs`), with the number of its entry as row id.
-- The text itself stays in `entries` alone; a found message is compared with it, so the index need not know places in it.
CREATE VIRTUAL TABLE search USING fts5 (
    terms,
    content = '',
    contentless_delete = 1,
    detail = none,
    tokenize = 'ascii'
);
-- The writer merges, a little at a time.
INSERT INTO search (search, rank) VALUES ('automerge', 0);
