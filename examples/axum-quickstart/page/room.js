// One room as the page knows it. Its live part always reaches the newest message; beside it there may be a window on an
// older part, opened by a search result or by scrolling far up, until paging down joins the two.

import { Receipts } from './receipts.js';
import { Span } from './span.js';

/** What the live part keeps while it is not the one shown. */
const TAIL = 60;
const RANKS = ['reader', 'member', 'moderator', 'owner'];
const isMessage = ({ kind }) => kind === 'chat' || kind === 'custom';
/** What the list of rooms shows the newest of, as the server does. */
const isPreview = (entry) => isMessage(entry) || entry.kind === 'join' || entry.kind === 'leave';

export class RoomState {
  name;
  role = 'member';
  active = true;
  maxBodyChars = 1000;
  unread = 0;
  read = null;
  /** The head the number of unread messages was counted to. */
  head = null;
  preview = null;
  activity = 0;
  joined = false;
  /** Why it has no live connection, if the server refused one. */
  refused = null;
  loading = null;
  failed = null;
  draft = '';
  members = new Map();
  moreMembers = null;
  typing = new Map();
  outbox = new Map();
  receipts = new Receipts();
  live = new Span();
  window = null;
  /** Whether the page follows the newest messages, or somebody reads further up. */
  following = true;
  /** Where one was reading when another room was opened. */
  place = null;
  /** The number after which the line "new messages" stands, while the room is open. */
  dividerAfter = null;
  /** The cursor of the same place. */
  dividerCursor = null;
  /** Whether what is below that line has been read, and whether the line was in sight. */
  dividerRead = false;
  dividerMet = false;
  /** The head at the time of joining, until the entries up to it have come. */
  catchingUp = null;
  #head = null;

  constructor(id) {
    this.id = id;
    this.name = id;
  }

  /** Answers whether the number of unread messages was counted before the server knew what was read here. */
  takeSummary(summary) {
    this.takeRoom(summary.room);
    this.role = summary.role ?? this.role;
    const outdated = this.read !== null && this.read === this.#head && (summary.read ?? this.read) !== this.read;
    if (!outdated) {
      this.unread = summary.unread ?? this.unread;
      this.read = summary.read ?? this.read;
    }
    this.head = summary.head ?? this.head;
    if (summary.preview) this.preview = summary.preview;
    if (summary.activity) this.activity = Math.max(this.activity, Date.parse(summary.activity) || 0);
    return outdated;
  }

  takeRoom(data) {
    const name = data.metadata?.name;
    this.name = typeof name === 'string' && name.trim() ? name : this.id;
    this.active = data.active ?? true;
    this.maxBodyChars = data.maxBodyChars ?? this.maxBodyChars;
  }

  /** Whether one's role here is at least this one. The server decides; the page only does not offer what it would refuse. */
  isAtLeast(role) {
    return RANKS.indexOf(this.role) >= RANKS.indexOf(role);
  }

  get shown() {
    return this.window ?? this.live;
  }

  items() {
    return this.shown.items();
  }

  newestCursor() {
    return this.#head;
  }

  /** Forgets what it holds, except what is not yet sent, and begins with the newest page. */
  startFrom(page, { reset = false } = {}) {
    const live = new Span(page);
    live.adopt(this.live.pending());
    this.live = live;
    this.window = null;
    this.joined = true;
    this.catchingUp = null;
    if (reset) {
      this.receipts = new Receipts();
      this.dividerAfter = null;
    }
    this.receipts.notePage(page);
    this.#head = page.cursor ?? page.entries.at(-1)?.cursor ?? null;
    const newest = page.entries.findLast(isPreview);
    if (newest) this.#see(newest);
  }

  /** @param {boolean} attended says that somebody looks at the newest messages */
  applyEntry(entry, { me, attended }) {
    this.live.applyEntry(entry);
    this.receipts.note(entry.cursor, entry.seq);
    const head = this.#head;
    this.#head = entry.cursor;
    const missed = this.catchingUp !== null;
    if (entry.cursor === this.catchingUp) this.catchingUp = null;
    if (['edit', 'delete', 'reaction'].includes(entry.kind)) {
      this.window?.applyEntry(entry);
      if (this.preview?.id === entry.target) this.#foldPreview(entry);
      return;
    }
    this.bound();
    if (isPreview(entry)) this.#see(entry);
    if (!isMessage(entry)) return;
    if (entry.sender === me) {
      this.outbox.delete(entry.clientId);
      return;
    }
    // While missed entries come in, the server's own number counts: it holds some of them already.
    if (!missed) this.unread += 1;
    if (!attended && (this.dividerAfter === null || this.dividerRead)) this.divideAfter(entry.seq - 1, head);
  }

  divideAfter(seq, cursor) {
    this.dividerAfter = seq;
    this.dividerCursor = cursor;
    this.dividerRead = false;
    this.dividerMet = false;
  }

  #see(entry) {
    this.preview = entry;
    this.activity = Math.max(this.activity, Date.parse(entry.createdAt) || 0);
  }

  #foldPreview(entry) {
    if (entry.kind === 'delete') this.preview = { ...this.preview, deleted: true, text: undefined };
    if (entry.kind === 'edit') this.preview = { ...this.preview, text: entry.text };
  }

  /** Leaves the older part and shows the newest again. */
  showLive() {
    this.window = null;
    this.following = true;
    this.bound();
  }

  /** Shows a page from somewhere in the history. */
  showWindow(page) {
    this.window = new Span(page);
    this.receipts.notePage(page);
    this.following = false;
    this.#meet(page);
    this.bound();
  }

  /** Once the window's newest page reaches the live part, the two become one. */
  #meet({ reachesHead, seq }) {
    const { oldest } = this.live;
    const touches = !oldest || this.window.newest?.seq >= oldest.seq || (reachesHead && seq >= oldest.seq - 1);
    if (!touches) return;
    this.live.joinOlder(this.window);
    this.window = null;
  }

  /** Keeps what is held within bounds. Not while a page is on its way that is to fit to what is here. */
  bound() {
    if (this.loading) return;
    if (this.live.isLong && (this.window || this.following)) this.live.dropOldest(this.window ? TAIL : undefined);
  }

  /** Forgets the newest `count` messages of what is shown: somebody reads far above them. */
  forgetNewest(count) {
    if (this.loading) return;
    if (!this.window) {
      this.window = this.live.fork();
      this.live.dropOldest(TAIL);
    }
    this.window.dropNewest(this.window.stored().length - count);
  }

  /** Forgets the oldest `count` messages of what is shown. */
  forgetOldest(count) {
    if (!this.loading) this.shown.dropOldest(this.shown.stored().length - count);
  }

  /** Runs one load at a time. */
  async #once(direction, work) {
    if (this.loading) return false;
    this.loading = direction;
    this.failed = null;
    try {
      await work();
      return true;
    } catch (error) {
      this.failed = { direction, error };
      throw error;
    } finally {
      this.loading = null;
    }
  }

  async loadOlder(ask) {
    if (this.shown.reachesStart) return false;
    return this.#once('older', async () => {
      const { shown } = this;
      const { oldest } = shown;
      const { page } = await ask(oldest ? { before: oldest.cursor ?? oldest.id } : {});
      if (shown !== this.shown) return;
      this.receipts.notePage(page);
      shown.prepend(page);
    });
  }

  async loadNewer(ask) {
    if (!this.window) return false;
    return this.#once('newer', async () => {
      const { window } = this;
      const { newest } = window;
      const { page } = await ask({ after: newest.cursor ?? newest.id });
      if (window !== this.window) return;
      this.receipts.notePage(page);
      window.append(page);
      this.#meet(page);
    });
  }
}
