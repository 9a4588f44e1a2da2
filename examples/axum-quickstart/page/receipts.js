// Who has read a room up to where. The server speaks in cursors, which are opaque; to set them in order the page keeps the
// number behind each cursor it has seen, and asks for the few it has not.

/** Cursors whose number is remembered. */
const REMEMBERED = 2_000;
/** Readers whose place is asked for; in a larger room the rest stay unknown until they read on. */
const ASKED_AT_ONCE = 20;

export class Receipts {
  #cursors = new Map();
  #seqs = new Map();

  /** Remembers which number stands behind a cursor. */
  note(cursor, seq) {
    if (cursor === undefined || !Number.isSafeInteger(seq)) return;
    this.#seqs.delete(cursor);
    this.#seqs.set(cursor, seq);
    if (this.#seqs.size > REMEMBERED) this.#seqs.delete(this.#seqs.keys().next().value);
  }

  notePage(page) {
    for (const { cursor, seq } of page.entries) this.note(cursor, seq);
    this.note(page.cursor, page.seq);
  }

  seqOf(cursor) {
    return this.#seqs.get(cursor);
  }

  set(user, cursor) {
    this.#cursors.set(user, cursor);
  }

  forget(user) {
    this.#cursors.delete(user);
  }

  /** The users other than `me` who have read at least up to the entry with this number. */
  readersOf(seq, me) {
    const readers = [];
    for (const [user, cursor] of this.#cursors) if (user !== me && this.#seqs.get(cursor) >= seq) readers.push(user);
    return readers;
  }

  /** Finds the number behind a cursor: one less than that of the entry after it. */
  async resolve(cursor, ask) {
    const known = this.#seqs.get(cursor);
    if (known !== undefined || !cursor) return known;
    const { page } = await ask({ after: cursor, limit: 1, view: 'log' });
    const next = page.entries[0];
    this.note(cursor, next ? next.seq - 1 : page.seq);
    return this.#seqs.get(cursor);
  }

  /** Takes the server's list in. */
  async load(markers, ask) {
    for (const { user, cursor } of markers) this.set(user, cursor);
    const unknown = new Set(markers.map(({ cursor }) => cursor).filter((cursor) => !this.#seqs.has(cursor)));
    await Promise.all([...unknown].slice(0, ASKED_AT_ONCE).map((cursor) => this.resolve(cursor, ask).catch(() => {})));
  }
}
