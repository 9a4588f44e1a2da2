// One room as the page knows it. Its live timeline always reaches the newest message; beside it there may be a window on
// an older part, opened by a search result, until paging down joins the two.

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
  reachesStart = false;
  loading = null;
  failed = null;
  divider = null;
  draft = '';
  members = new Map();
  moreMembers = null;
  typing = new Map();
  outbox = new Map();
  window = null;
  scroll = null;
  /** The head at the time of joining, until the entries up to it have come. */
  catchingUp = null;
  #head = null;

  constructor(id, timeline) {
    this.id = id;
    this.name = id;
    this.live = timeline;
  }

  takeSummary(summary) {
    this.takeRoom(summary.room);
    this.role = summary.role ?? this.role;
    this.unread = summary.unread ?? this.unread;
    this.read = summary.read ?? this.read;
    this.head = summary.head ?? this.head;
    if (summary.preview) this.preview = summary.preview;
    if (summary.activity) this.activity = Math.max(this.activity, Date.parse(summary.activity) || 0);
  }

  takeRoom(data) {
    const name = data.metadata?.name;
    this.name = typeof name === 'string' && name.trim() ? name : this.id;
    this.active = data.active ?? true;
    this.maxBodyChars = data.maxBodyChars ?? this.maxBodyChars;
  }

  get shown() {
    return this.window?.timeline ?? this.live;
  }

  /** What to show. Holes are only ever above the oldest message, where scrolling up loads more anyway. */
  items() {
    return this.shown.items().filter((item) => item.kind !== 'hole');
  }

  get shownReachesStart() {
    return this.window ? this.window.reachesStart : this.reachesStart;
  }

  newestCursor() {
    return this.#head;
  }

  /** Forgets what it holds and begins with the newest page. */
  startFrom(page) {
    this.live.applyPage(page, { replace: true });
    this.reachesStart = page.reachesStart;
    this.#head = page.cursor ?? page.entries.at(-1)?.cursor ?? null;
    this.window = null;
    this.joined = true;
    this.catchingUp = null;
    const newest = page.entries.findLast((entry) => entry.kind === 'chat' || entry.kind === 'custom');
    if (newest) this.#see(newest);
  }

  applyEntry(entry, me) {
    this.live.applyEntry(entry);
    this.#head = entry.cursor;
    const missed = this.catchingUp !== null;
    if (entry.cursor === this.catchingUp) this.catchingUp = null;
    if (['edit', 'delete', 'reaction'].includes(entry.kind)) {
      this.window?.timeline.applyEntry(entry);
      if (this.preview?.id === entry.target) this.#foldPreview(entry);
      return;
    }
    if (entry.kind !== 'chat' && entry.kind !== 'custom') return;
    this.#see(entry);
    // While missed entries come in, the server's own number counts: it holds some of them already.
    if (entry.sender !== me && !missed) this.unread += 1;
  }

  #see(entry) {
    this.preview = entry;
    this.activity = Math.max(this.activity, Date.parse(entry.createdAt) || 0);
  }

  #foldPreview(entry) {
    if (entry.kind === 'delete') this.preview = { ...this.preview, deleted: true, text: undefined };
    if (entry.kind === 'edit') this.preview = { ...this.preview, text: entry.text };
  }

  /** Remembers above which message the line "new messages" stands while the room is open. */
  placeDivider(me) {
    this.divider = null;
    if (this.unread === 0) return;
    let left = this.unread;
    for (const item of this.live.items().toReversed()) {
      if (!item.seq || item.sender === me || (item.kind !== 'chat' && item.kind !== 'custom')) continue;
      this.divider = item.id;
      left -= 1;
      if (left === 0) return;
    }
  }

  /** Leaves the older part and shows the newest again. */
  showLive() {
    this.window = null;
  }

  showWindow(timeline, before, entry, after) {
    const page = {
      entries: [...before.entries, entry, ...after.entries],
      reachesStart: before.reachesStart,
      reachesHead: after.reachesHead,
      cursor: after.cursor,
    };
    timeline.applyPage(page, { replace: true });
    this.window = { timeline, pages: [page], reachesStart: page.reachesStart };
    this.#joinWindow(page.reachesHead);
  }

  /** Once the window touches the live part, the two become one timeline. */
  #joinWindow(reachesHead) {
    const oldest = this.live.items().find((item) => item.seq);
    const newest = this.window.timeline.items().findLast((item) => item.seq);
    const touches = reachesHead || (oldest && newest && newest.seq >= oldest.seq);
    if (!touches) return;
    for (const page of this.window.pages.toReversed()) this.live.prependPage(page);
    this.reachesStart = this.window.reachesStart;
    this.window = null;
  }

  /** Runs one load at a time for each direction. */
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

  loadOlder(ask) {
    if (this.shownReachesStart) return Promise.resolve(false);
    return this.#once('older', async () => {
      const shown = this.shown;
      const oldest = shown.items().find((item) => item.seq);
      const { page } = await ask(oldest ? { before: oldest.cursor ?? oldest.id } : {});
      if (shown !== this.shown) return;
      shown.prependPage(page);
      if (this.window) {
        this.window.pages.unshift(page);
        this.window.reachesStart = page.reachesStart;
      } else {
        this.reachesStart = page.reachesStart;
      }
    });
  }

  loadNewer(ask) {
    if (!this.window) return Promise.resolve(false);
    return this.#once('newer', async () => {
      const { window } = this;
      const newest = window.timeline.items().findLast((item) => item.seq);
      const { page } = await ask({ after: newest.cursor ?? newest.id });
      if (window !== this.window) return;
      window.timeline.applyPage(page, { replace: false });
      window.pages.push(page);
      this.#joinWindow(page.reachesHead);
    });
  }
}
