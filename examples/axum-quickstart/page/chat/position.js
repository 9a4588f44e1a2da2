// Where a client stands in one room: the last applied entry, and nothing else.

export class Position {
  /** The cursor of the last applied entry, or of the page begun with. */
  cursor;
  /** Its number. Unknown after a page, which gives a cursor but no number for it. */
  seq = null;
  /** A number that is surely not greater than the cursor's. */
  #floor = 0;

  constructor(cursor) {
    this.cursor = cursor;
  }

  /** What to do with an entry: `apply` it, `drop` it as known, or join again over a `gap`. */
  judge(entry) {
    if (this.seq === null) {
      // The server promises that the first entry after a page is the one after its cursor.
      return entry.seq > this.#floor ? 'apply' : 'drop';
    }
    if (entry.seq <= this.seq) return 'drop';
    return entry.seq === this.seq + 1 ? 'apply' : 'gap';
  }

  moveTo(entry) {
    this.cursor = entry.cursor;
    this.seq = entry.seq;
    this.#floor = entry.seq;
  }

  /** Goes on from a page. `reset`: the log lives anew, so the old numbers mean nothing. */
  moveToPage(page, cursor, { reset = false } = {}) {
    if (reset) this.#floor = 0;
    // A page holds messages only: edits and reactions after its last message are behind its cursor too.
    for (const { seq, edited } of page?.entries ?? []) {
      for (const known of [seq, edited?.seq]) if (known > this.#floor) this.#floor = known;
    }
    this.seq = null;
    this.cursor = page?.cursor ?? cursor ?? this.cursor;
  }
}
