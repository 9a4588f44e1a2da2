// A part of a room's history without a gap, and of bounded length: what is far from where one reads is forgotten, and
// loaded again when it is wanted. So the page stays light in a room of any age.

import { Timeline } from './timeline.js';

/** The most messages held of a room that nobody looks at, or whose end somebody looks at. */
const MOST = 240;
const KEPT = 160;

const oldestFirst = (a, b) => a.seq - b.seq;

export class Span {
  reachesStart = false;
  #timeline = new Timeline();

  /** @param {object} [page] a page of the history to begin with */
  constructor(page) {
    if (!page) return;
    this.#timeline.applyPage({ ...page, reachesStart: true }, { replace: true });
    this.reachesStart = page.reachesStart;
  }

  /** What to show, oldest first, messages on their way last. */
  items() {
    return this.#timeline.items();
  }

  /** What the log has, without what is on its way. */
  stored() {
    return this.items().filter((item) => item.seq);
  }

  pending() {
    return this.items().filter((item) => item.pending);
  }

  get oldest() {
    return this.items().find((item) => item.seq);
  }

  get newest() {
    return this.items().findLast((item) => item.seq);
  }

  get isLong() {
    return this.items().length > MOST;
  }

  applyEntry(entry) {
    this.#timeline.applyEntry(entry);
  }

  /** Adds a page that ends right before the oldest message here. */
  prepend(page) {
    this.#timeline.applyPage(page);
    this.reachesStart = page.reachesStart;
  }

  /** Adds a page that begins right after the newest message here. */
  append(page) {
    this.#timeline.applyPage(page);
  }

  addPending(message) {
    this.#timeline.addPending(message);
  }

  markFailed(clientId, error) {
    this.#timeline.markFailed(clientId, error);
  }

  markSending(clientId) {
    this.#timeline.markSending(clientId);
  }

  discard(clientId) {
    this.#timeline.discard(clientId);
  }

  /** Takes over what is not yet sent. */
  adopt(pending) {
    for (const item of pending) {
      this.#timeline.addPending(item);
      if (item.failed) this.#timeline.markFailed(item.clientId, item.error);
    }
  }

  /** Puts an older part that reaches up to this one, or into it, before this one. */
  joinOlder(older) {
    const { seq } = this.oldest ?? { seq: Infinity };
    this.#rebuild([...older.stored().filter((item) => item.seq < seq), ...this.stored()], older.reachesStart);
  }

  /** Forgets the oldest messages until `count` are left. */
  dropOldest(count = KEPT) {
    const stored = this.stored();
    if (stored.length > count) this.#rebuild(stored.slice(-count), false);
  }

  /** Forgets the newest messages until `count` are left. */
  dropNewest(count) {
    const stored = this.stored();
    if (stored.length > count) this.#rebuild(stored.slice(0, count), this.reachesStart);
  }

  /** A part of its own with the same messages, without what is on its way. */
  fork() {
    const span = new Span();
    span.#rebuild(this.stored(), this.reachesStart);
    return span;
  }

  /** Items are messages as the server gives them: with their changes folded in. */
  #rebuild(stored, reachesStart) {
    const pending = this.pending();
    this.#timeline = new Timeline();
    this.#timeline.applyPage({ entries: stored.toSorted(oldestFirst), reachesStart: true }, { replace: true });
    this.adopt(pending);
    this.reachesStart = reachesStart;
  }
}
