// A part of a room's history without a gap, and of bounded length: what is far from where one reads is forgotten, and
// loaded again when it is wanted. So the page stays light in a room of any age.

import { Timeline } from './timeline.js';

/** The most messages held of a room that nobody looks at, or whose end somebody looks at. */
const MOST = 240;
const KEPT = 160;

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

  confirm(clientId, position) {
    return this.#timeline.confirm(clientId, position);
  }

  discard(clientId) {
    this.#timeline.discard(clientId);
  }

  /** Takes over what is not yet sent. */
  adopt(pending) {
    for (const item of pending) {
      this.#timeline.addPending(item);
      if (item.failed) this.#timeline.markFailed(item.clientId, item.error);
      if (item.position) this.#timeline.confirm(item.clientId, item.position);
    }
  }

  /** Puts an older part that reaches up to this one, or into it, before this one. */
  joinOlder(older) {
    const { seq } = this.oldest ?? { seq: Infinity };
    const before = older.#timeline.known().filter(({ entry }) => entry.seq < seq);
    this.#rebuild([...before, ...this.#timeline.known()], older.reachesStart);
  }

  /** Forgets the oldest messages until `count` are left. */
  dropOldest(count = KEPT) {
    const known = this.#timeline.known();
    if (known.length > count) this.#rebuild(known.slice(-count), false);
  }

  /** Forgets the newest messages until `count` are left. */
  dropNewest(count) {
    const known = this.#timeline.known();
    if (known.length > count) this.#rebuild(known.slice(0, count), this.reachesStart);
  }

  /** A part of its own with the same messages, without what is on its way. */
  fork() {
    const span = new Span();
    span.#timeline.take(this.#timeline.known(), this.#timeline.seen);
    span.reachesStart = this.reachesStart;
    return span;
  }

  #rebuild(known, reachesStart) {
    const pending = this.pending();
    const { seen } = this.#timeline;
    this.#timeline = new Timeline();
    this.#timeline.take(known, seen);
    this.adopt(pending);
    this.reachesStart = reachesStart;
  }
}
