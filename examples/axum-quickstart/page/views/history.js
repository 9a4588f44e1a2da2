// The scrolling history of one room: it keeps its place when messages come in above, goes on loading in both directions,
// and follows new messages at its end. Only what is near is in the document (see span.js), so every row can be measured.

import { arrange, el, icon, set, setText } from './dom.js';
import { errorText } from './format.js';
import { roomAvatar } from './people.js';
import { Rows } from './rows.js';

/** Messages are loaded when fewer than this many screens of them are left to scroll, and forgotten beyond this many. */
const AHEAD_SCREENS = 2;
const KEPT_SCREENS = 4;
/** Fewer are not worth the work. */
const FORGOTTEN_AT_ONCE = 20;
const BOTTOM_WITHIN_PX = 48;

export class HistoryView {
  #model;
  #actions;
  #room = null;
  #stick = true;
  /** The room was just opened, and its place is to be found once it is there. */
  #opening = false;
  /** The rows stay as they are until the messages around them are loaded anew. */
  #holding = false;
  /** The rows are not yet those of the window. */
  #exchanged = false;
  #missed = 0;
  #topText = el('span');
  #top = el('div.history-top', {}, this.#topText, el('button.link', { type: 'button', hidden: true, onclick: () => this.#load('loadOlder') }, 'Try again'));
  #log = el('div.log');
  #jump = el('button.jump', { type: 'button', hidden: true, onclick: () => this.toNewest(true), data: { testid: 'jump-down' } }, el('span'), icon('down'));
  #unread = el('button.jump.to-unread', { type: 'button', hidden: true, onclick: () => this.#toUnread(), data: { testid: 'jump-unread' } }, icon('up'), el('span', {}, 'New messages above'));

  /** `actions`: `seen()`, `failed(error)`. */
  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    this.rows = new Rows(this.#log, model.me);
    this.scroller = el('section.scroller', { tabindex: -1, 'aria-label': 'Messages', data: { testid: 'history' } }, this.#top, this.#log);
    this.scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.element = el('div.history', {}, this.#unread, this.scroller, this.#jump);
    // A taller composer or a keyboard on the screen must not hide the newest message.
    const observer = new ResizeObserver(() => this.#stick && this.#toBottom());
    observer.observe(this.scroller);
    observer.observe(this.#log);
  }

  show(room) {
    if (this.#room) this.#room.place = this.#stick ? null : this.#anchor();
    this.#room = room;
    this.rows.clear();
    this.#missed = 0;
    this.#holding = false;
    this.#stick = !room?.place;
    this.#opening = true;
    this.render();
  }

  get atBottom() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < BOTTOM_WITHIN_PX;
  }

  /** Whether the newest message of the room is in sight. */
  get showsNewest() {
    return Boolean(this.#room) && !this.#room.window && this.atBottom;
  }

  /** Somebody else's message came in. */
  noticeNew() {
    if (!this.showsNewest && !this.#stick) this.#missed += 1;
  }

  toNewest(focus = false) {
    this.#room.showLive();
    this.#missed = 0;
    this.#stick = true;
    this.render();
    this.#toBottom();
    this.#scrolled();
    if (focus) this.rows.newest?.focus({ preventScroll: true });
  }

  /** Scrolls to a message, loading what is around it if need be, and marks it for a moment. */
  async jumpTo(entry) {
    const room = this.#room;
    if (!this.rows.withId(entry.id)) {
      try {
        await this.#exchange(room, entry);
      } catch (error) {
        this.render();
        throw error;
      }
      if (room !== this.#room) return;
      this.#stick = false;
      this.#opening = false;
      this.render();
    }
    this.#reveal(this.rows.withId(entry.id));
  }

  #reveal(row) {
    if (!row) return;
    this.#stick = false;
    row.scrollIntoView({ block: 'center' });
    row.classList.remove('is-found');
    void row.offsetWidth;
    row.classList.add('is-found');
    row.focus({ preventScroll: true });
    this.#scrolled();
  }

  /** All that was known of the room gave way to its newest page. Who reads further up stays there. */
  async replaced() {
    const room = this.#room;
    const place = this.#stick || this.#opening ? null : this.#anchor();
    if (!place?.item?.id) {
      this.render();
      return;
    }
    try {
      await this.#exchange(room, place.item);
    } catch {
      this.#stick = true;
    }
    if (room === this.#room) this.render();
  }

  /** What is around a message takes the place of what is shown, and nothing is drawn before it is there: what is far from sight
   * is counted by the rows, and these are still the former ones. */
  async #exchange(room, item) {
    this.#holding = true;
    try {
      await this.#model.showAround(room, item);
      this.#exchanged = room === this.#room;
    } finally {
      if (room === this.#room) this.#holding = false;
    }
  }

  render() {
    const room = this.#room;
    if (!room || this.#holding) return;
    const anchor = this.#stick ? null : this.#anchor();
    if (!this.#opening && !this.#exchanged) this.#forgetFar();
    this.#exchanged = false;
    this.#drawTop();
    const lost = this.rows.draw(room, { arriving: this.#stick && !this.#opening });
    if (lost) this.scroller.focus({ preventScroll: true });
    if (this.#opening && room.joined) this.#open();
    else if (this.#stick && !room.window) this.#toBottom();
    else if (anchor) this.#restore(anchor);
    this.#scrolled();
  }

  /** Finds the place to begin: where one was, at what is new, or at the end. */
  #open() {
    const room = this.#room;
    this.#opening = false;
    const row = room.place && this.rows.withId(room.place.item?.id);
    const { divider } = this.rows;
    if (row) {
      this.#restore({ node: row, offset: room.place.offset });
    } else {
      this.#stick = !room.window;
      this.#toBottom();
      const above = divider && divider.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top;
      if (above < 0) {
        this.#stick = false;
        this.scroller.scrollTop += above - 80;
      }
    }
    room.place = null;
  }

  #drawTop() {
    const room = this.#room;
    const [text, again] = [this.#topText, this.#top.lastChild];
    const isEmpty = room.joined && room.shown.reachesStart && room.items().length === 0;
    this.scroller.classList.toggle('is-empty', isEmpty);
    arrange(this.#top, isEmpty ? [roomAvatar(room), text, again] : [text, again]);
    const failed = room.failed?.direction === 'older' ? room.failed.error : null;
    again.hidden = !failed;
    if (room.refused) setText(text, errorText(room.refused));
    else if (!room.joined) setText(text, 'Loading messages…');
    else if (failed) setText(text, errorText(failed));
    else if (room.shown.reachesStart) setText(text, room.items().length ? 'This is where the room begins.' : 'No messages yet. Say hello!');
    else setText(text, 'Loading older messages…');
  }

  #drawJumps() {
    const room = this.#room;
    this.#jump.hidden = !room.window && (this.#stick || this.atBottom);
    setText(this.#jump.firstChild, this.#missed > 0 ? `${this.#missed} new ${this.#missed === 1 ? 'message' : 'messages'}` : 'Newest messages');
    set(this.#jump, { data: { missed: String(this.#missed) } });
    if (room.dividerAfter === null || room.dividerMet) {
      this.#unread.hidden = true;
      return;
    }
    const { divider } = this.rows;
    const above = divider
      ? divider.getBoundingClientRect().bottom < this.scroller.getBoundingClientRect().top
      : room.shown.oldest?.seq > room.dividerAfter;
    if (divider && !above) room.dividerMet = true;
    this.#unread.hidden = !above;
  }

  async #toUnread() {
    const room = this.#room;
    try {
      const entry = this.rows.divider ? null : await this.#model.reading.firstUnread(room);
      if (entry) await this.jumpTo(entry);
      const next = this.rows.divider?.nextElementSibling;
      room.dividerMet = true;
      this.#reveal(next);
    } catch (error) {
      this.#actions.failed(error);
    }
  }

  #scrolled() {
    const room = this.#room;
    if (!room || this.#opening) return;
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.#stick = !room.window && scrollHeight - scrollTop - clientHeight < BOTTOM_WITHIN_PX;
    room.following = this.#stick;
    if (this.#stick) this.#missed = 0;
    this.#drawJumps();
    this.#actions.seen();
    if (room.loading || !room.joined || clientHeight === 0) return;
    const ahead = AHEAD_SCREENS * clientHeight;
    if (scrollTop < ahead && !room.shown.reachesStart && !room.failed) this.#load('loadOlder');
    else if (room.window && scrollHeight - scrollTop - clientHeight < ahead && !room.failed) this.#load('loadNewer');
  }

  async #load(what) {
    const room = this.#room;
    room.failed = null;
    try {
      await this.#model[what](room);
    } catch {
      // What went wrong stands above the messages; scrolling on after a moment tries again.
      setTimeout(() => (room.failed = null), 5_000);
    }
    if (room === this.#room) this.render();
  }

  #toBottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Lets go of what is many screens away. */
  #forgetFar() {
    const { top, bottom, height } = this.scroller.getBoundingClientRect();
    const rows = [...this.#log.children];
    if (height === 0 || this.rows.isEditing) return;
    const messages = (some) => some.filter((row) => this.rows.of(row)?.item?.seq).length;
    const above = messages(rows.slice(0, this.#firstBelow(top - KEPT_SCREENS * height)));
    if (above >= FORGOTTEN_AT_ONCE) this.#room.forgetOldest(above);
    if (this.#stick) return;
    const below = messages(rows.slice(this.#firstBelow(bottom + KEPT_SCREENS * height)));
    if (below >= FORGOTTEN_AT_ONCE) this.#room.forgetNewest(below);
  }

  /** The place among the rows of the first that ends below this height. */
  #firstBelow(y) {
    const rows = this.#log.children;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom > y) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The first message in sight and where it stands. */
  #anchor() {
    const { top } = this.scroller.getBoundingClientRect();
    const rows = this.#log.children;
    for (let at = this.#firstBelow(top); at < rows.length; at += 1) {
      const item = this.rows.of(rows[at])?.item;
      if (item) return { node: rows[at], item, offset: rows[at].getBoundingClientRect().top - top };
    }
    return null;
  }

  #restore({ node, offset }) {
    if (!node.isConnected) return;
    const { top } = this.scroller.getBoundingClientRect();
    const moved = node.getBoundingClientRect().top - top - offset;
    if (Math.abs(moved) >= 0.5) this.scroller.scrollTop += moved;
  }
}
