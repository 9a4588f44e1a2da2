// One room's history as it is shown: messages with their edits, deletes and reactions folded in, holes, and what is
// not yet sent. Applying anything twice, or late, changes nothing. It needs nothing else, and chat-client.js does not need it.

const CHANGES = new Set(['edit', 'delete', 'reaction']);
/** Of what one user said with one reaction, the first and the latest are kept. */
const MOST_WORDS = 16;
const SHOWN = new Set(['chat', 'custom', 'join', 'leave']);

export class Timeline {
  /** By id: `{entry, asOf}`; `asOf` is the number up to which reactions are folded into the entry already. */
  #entries = new Map();
  /** By target id. A change may come before its target: that one is on a page still to be loaded. */
  #changes = new Map();
  /** By the number of the entry before which something is missing: its cursor. */
  #holes = new Map();
  #pending = new Map();
  /** Every change up to this number was seen; those on pages of older entries may be later. */
  #seen = 0;
  #items = null;

  /** Applies an entry of the log. */
  applyEntry(entry) {
    if (!Number.isSafeInteger(entry?.seq)) return;
    this.#items = null;
    this.#see(entry.seq);
    if (CHANGES.has(entry.kind)) {
      if (!this.#changes.has(entry.target)) this.#changes.set(entry.target, new Changes());
      this.#changes.get(entry.target).add(entry);
    } else if (SHOWN.has(entry.kind)) {
      // What is known may have changes folded in already; the bare entry adds nothing to it.
      if (!this.#entries.has(entry.id)) this.#put(entry, entry.seq);
    }
  }

  /**
   * Applies a page: with `replace` as the only thing known of the room, without it beside what is there.
   * `hole` says that entries before the page are missing.
   */
  applyPage(page, { replace = false, hole } = {}) {
    this.#items = null;
    if (replace) {
      this.#entries.clear();
      this.#changes.clear();
      this.#holes.clear();
      this.#seen = 0;
    }
    this.#putAll(page);
    // What follows comes entry by entry.
    if (replace || hole) this.#see(asOfPage(page));
    this.#dropMissed();
    const first = page.entries[0];
    if (first && (hole || (replace && !page.reachesStart))) this.#holes.set(first.seq, first.cursor);
  }

  /** Applies a page of `history` from before something that is here: it closes the hole between the two. */
  prependPage(page) {
    this.#items = null;
    const known = this.#shown().map(({ entry }) => entry.seq);
    const first = page.entries[0];
    const last = page.entries.at(-1);
    if (!first) {
      // Nothing is left before the oldest.
      if (page.reachesStart) this.#holes.delete(known[0]);
      return;
    }
    const next = known.find((seq) => seq > last.seq) ?? Infinity;
    // Where the page begins inside a part that is here, whatever lies before that part stays as it was.
    const met = known.find((seq) => seq >= first.seq);
    const joins = met <= last.seq && (met === first.seq || (!this.#holes.has(met) && known[0] < first.seq));
    for (const seq of [...this.#holes.keys()]) if (seq > first.seq && seq <= next) this.#holes.delete(seq);
    if (page.reachesStart) this.#holes.delete(first.seq);
    else if (!joins) this.#holes.set(first.seq, first.cursor);
    this.#putAll(page);
  }

  /** A message of one's own on its way. It gives place to its entry. */
  addPending({ clientId, sender, text, json, createdAt }) {
    for (const { entry } of this.#entries.values()) if (entry.clientId === clientId && entry.sender === sender) return;
    this.#items = null;
    this.#pending.set(clientId, { kind: 'chat', pending: true, failed: false, clientId, sender, text, json, createdAt });
  }

  markFailed(clientId, error) {
    this.#mark(clientId, { failed: true, error });
  }

  /** It is on its way again. */
  markSending(clientId) {
    this.#mark(clientId, { failed: false, error: undefined });
  }

  /**
   * It is stored, at this position. Where that lies before what was seen without having been shown, it is among the
   * missed messages, and gives place to whatever page brings them. Says whether it did.
   */
  confirm(clientId, position) {
    const pending = this.#pending.get(clientId);
    if (!pending || !Number.isSafeInteger(position?.seq)) return false;
    this.#mark(clientId, { failed: false, error: undefined, position });
    this.#dropMissed();
    return !this.#pending.has(clientId);
  }

  discard(clientId) {
    this.#items = null;
    this.#pending.delete(clientId);
  }

  /**
   * What to show, oldest first, pending messages last. `kind` is `chat`, `custom`, `join`, `leave` or `hole`; a hole
   * has `before`, the cursor to ask `history` with. The list is the same one until something changes.
   */
  items() {
    if (this.#items) return this.#items;
    const items = [];
    for (const { entry, asOf } of this.#shown()) {
      const before = this.#holes.get(entry.seq);
      if (before !== undefined) items.push({ kind: 'hole', id: `hole-${entry.seq}`, before });
      items.push(foldMessage(entry, asOf, this.#changes.get(entry.id)));
    }
    items.push(...this.#pending.values());
    this.#items = items;
    return items;
  }

  /** What is stored, as `take` takes it: messages with their changes folded in, and up to which number they are. */
  known() {
    return this.#shown().map(({ entry, asOf }) => ({
      entry: foldMessage(entry, asOf, this.#changes.get(entry.id)),
      asOf: Math.max(asOf, this.#seen),
    }));
  }

  /** Takes over what another timeline knew, and all it had seen. */
  take(known, seen) {
    this.#items = null;
    this.#see(seen);
    for (const { entry, asOf } of known) this.#put(entry, asOf);
  }

  get seen() {
    return this.#seen;
  }

  #see(seq) {
    this.#seen = Math.max(this.#seen, seq);
  }

  #shown() {
    return [...this.#entries.values()].sort((a, b) => a.entry.seq - b.entry.seq);
  }

  #putAll(page) {
    const asOf = asOfPage(page);
    for (const entry of page.entries) if (SHOWN.has(entry.kind)) this.#put(entry, Math.max(asOf, entry.seq));
  }

  #put(entry, asOf) {
    const pending = this.#pending.get(entry.clientId);
    if (pending?.sender === entry.sender) this.#pending.delete(entry.clientId);
    const known = this.#entries.get(entry.id);
    // The later reading knows more: edits by number, deletes for ever, reactions as they were then.
    if (!known || asOf >= known.asOf) this.#entries.set(entry.id, { entry, asOf });
  }

  #dropMissed() {
    for (const [clientId, { position }] of this.#pending) if (position?.seq <= this.#seen) this.#pending.delete(clientId);
  }

  #mark(clientId, more) {
    const pending = this.#pending.get(clientId);
    if (!pending) return;
    this.#items = null;
    // A new object, so that a view that compares items sees the change.
    this.#pending.set(clientId, { ...pending, ...more });
  }
}

/** Up to which number a page is complete: where the log's head was when it was read. */
function asOfPage({ seq, entries }) {
  return seq ?? Math.max(0, ...entries.map((entry) => Math.max(entry.seq, entry.edited?.seq ?? 0)));
}

// Folding changes into a message: an edit holds if its number is greater, a delete always, a reaction as a set of users.

/** Everything the log said about one message after it was sent. */
class Changes {
  edit = null;
  deleted = false;
  /** By key and user, every word, by number: `{key, user, words: [{add, seq}]}`. */
  #reactions = new Map();

  add(entry) {
    if (entry.kind === 'delete') {
      this.deleted = true;
    } else if (entry.kind === 'edit') {
      if (entry.seq > (this.edit?.seq ?? 0)) this.edit = entry;
    } else {
      const id = JSON.stringify([entry.key, entry.sender]);
      if (!this.#reactions.has(id)) this.#reactions.set(id, { key: entry.key, user: entry.sender, words: [] });
      const { words } = this.#reactions.get(id);
      if (words.some(({ seq }) => seq === entry.seq)) return;
      words.push({ add: entry.op !== 'remove', seq: entry.seq });
      words.sort((a, b) => a.seq - b.seq);
      if (words.length > MOST_WORDS) words.splice(1, 1);
    }
  }

  /** What each user did after `after`: their first and their last word, by the number of the last one. */
  reactionsAfter(after) {
    return [...this.#reactions.values()]
      .map(({ key, user, words }) => ({ key, user, words: words.filter(({ seq }) => seq > after) }))
      .filter(({ words }) => words.length > 0)
      .map(({ key, user, words }) => ({ key, user, first: words[0].add, add: words.at(-1).add, seq: words.at(-1).seq }))
      .sort((a, b) => a.seq - b.seq);
  }
}

/** The message as it is to be shown. `asOf`: up to which number `entry.reactions` is complete. */
function foldMessage(entry, asOf, changes) {
  const { text, json, edited, reactions, deleted, ...rest } = entry;
  if (deleted || changes?.deleted) return { ...rest, deleted: true };
  const item = { ...rest };
  const body = changes?.edit && changes.edit.seq > (edited?.seq ?? 0) ? changes.edit : entry;
  if (body.text !== undefined) item.text = body.text;
  if (body.json !== undefined) item.json = body.json;
  if (body !== entry) item.edited = { seq: body.seq, at: body.createdAt };
  else if (edited) item.edited = edited;
  const folded = foldReactions(reactions ?? [], changes?.reactionsAfter(asOf) ?? []);
  if (folded.length > 0) item.reactions = folded;
  return item;
}

function foldReactions(base, later) {
  const byKey = new Map();
  for (const { key, count, users = [] } of base) {
    // A list of users may be shorter than the count; those it leaves out are only counted.
    byKey.set(key, { users: new Set(users), unnamed: Math.max(0, (count ?? 0) - users.length) });
  }
  for (const { key, user, first, add } of later) {
    if (!byKey.has(key)) byKey.set(key, { users: new Set(), unnamed: 0 });
    const reaction = byKey.get(key);
    // Who takes back what nobody is named with was one of those that are only counted.
    if (!first && !reaction.users.has(user) && reaction.unnamed > 0) reaction.unnamed -= 1;
    if (add) reaction.users.add(user);
    else reaction.users.delete(user);
  }
  return [...byKey]
    .map(([key, { users, unnamed }]) => ({ key, count: users.size + unnamed, users: [...users] }))
    .filter(({ count }) => count > 0);
}
