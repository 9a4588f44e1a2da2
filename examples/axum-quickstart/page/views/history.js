// The scrolling history of one room: it keeps its place when older messages come in above, and follows new ones below.

import { arrange, el, icon, set, setText } from './dom.js';
import { dayKey, errorText } from './format.js';
import { daySeparator, messageRow, noticeRow, unreadDivider } from './message.js';

/** Messages of one person this close together are one group. */
const GROUP_MS = 5 * 60_000;
const LOAD_WITHIN_PX = 600;
const BOTTOM_WITHIN_PX = 48;

export class HistoryView {
  #model;
  #actions;
  #room = null;
  #rows = new Map();
  #stick = true;
  #missed = 0;
  #editing = null;
  #top = el('div.history-top', {}, el('span'), el('button.link', { type: 'button', hidden: true, onclick: () => this.#older() }, 'Try again'));
  #log = el('div.log', { role: 'log', 'aria-live': 'polite', 'aria-relevant': 'additions', 'aria-label': 'Messages' });
  #jump = el(
    'button.jump',
    { type: 'button', hidden: true, onclick: () => this.toNewest(), data: { testid: 'jump-down' } },
    el('span'),
    icon('down'),
  );

  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    this.scroller = el('div.scroller', { tabindex: 0, 'aria-label': 'Message history', role: 'region' }, this.#top, this.#log);
    this.scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.element = el('div.history', {}, this.scroller, this.#jump);
    // A taller composer or a keyboard on the screen must not hide the newest message.
    new ResizeObserver(() => this.#stick && this.#toBottom()).observe(this.scroller);
  }

  show(room) {
    if (this.#room) this.#room.scroll = this.#stick ? null : this.#anchor();
    this.#room = room;
    this.#rows.clear();
    this.#log.replaceChildren();
    this.#missed = 0;
    this.#editing = null;
    this.#stick = !room?.scroll;
    this.render();
    if (room?.scroll) this.#restore(room.scroll);
    this.#scrolled();
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
    if (this.showsNewest || this.#stick) return;
    this.#missed += 1;
  }

  toNewest() {
    this.#room.showLive();
    this.#missed = 0;
    this.#stick = true;
    this.render();
    this.#toBottom();
    this.#scrolled();
  }

  /** Scrolls to a message and marks it for a moment. */
  reveal(id) {
    const row = [...this.#rows.values()].find(({ node }) => node.dataset.id === id)?.node;
    if (!row) return false;
    this.#stick = false;
    row.scrollIntoView({ block: 'center' });
    row.classList.remove('is-found');
    void row.offsetWidth;
    row.classList.add('is-found');
    row.focus({ preventScroll: true });
    return true;
  }

  render() {
    const room = this.#room;
    if (!room) return;
    const anchor = this.#stick ? null : this.#anchor();
    this.#drawTop();
    arrange(this.#log, this.#nodes(room.items()));
    if (this.#stick && !room.window) this.#toBottom();
    else if (anchor) this.#restore(anchor);
    this.#drawJump();
  }

  #nodes(items) {
    const nodes = [];
    const used = new Set();
    const take = (key, signature, make) => {
      let row = this.#rows.get(key);
      if (!row || (row.signature !== signature && this.#editing !== key)) {
        const again = row !== undefined;
        row = { signature, node: make() };
        row.node.classList.toggle('is-new', !again && this.#stick && this.#rows.size > 0);
        this.#rows.set(key, row);
      }
      used.add(key);
      nodes.push(row.node);
    };
    items.forEach((item, at) => {
      const before = items[at - 1];
      const time = item.createdAt ?? Date.now();
      const newDay = !before || dayKey(before.createdAt ?? Date.now()) !== dayKey(time);
      if (newDay) take(`day ${dayKey(time)}`, '', () => daySeparator(time));
      const divided = this.#room.divider !== null && item.id === this.#room.divider;
      if (divided) take('unread', '', unreadDivider);
      const key = keyOf(item);
      if (item.kind !== 'chat' && item.kind !== undefined) {
        take(key, item.kind, () => noticeRow(item));
        return;
      }
      const after = items[at + 1];
      const place = {
        own: item.sender === this.#model.me,
        me: this.#model.me,
        first: newDay || divided || !sameGroup(before, item),
        last: !sameGroup(item, after) || after.id === this.#room.divider,
        ...this.#stateOf(item),
      };
      if (!item.pending && this.#room.active) place.editable = place.own && item.text !== undefined;
      const signature = JSON.stringify([place, item.id, item.text, item.edited, item.deleted, item.reactions, item.createdAt]);
      take(key, signature, () => messageRow(item, place, this.#actions));
    });
    for (const key of this.#rows.keys()) if (!used.has(key)) this.#rows.delete(key);
    return nodes;
  }

  #stateOf(item) {
    if (!item.pending) return { state: 'sent' };
    if (item.failed) return { state: 'failed' };
    return { state: this.#room.outbox.get(item.clientId)?.state === 'sent' ? 'sent' : 'sending' };
  }

  rowOf(item) {
    return this.#rows.get(keyOf(item))?.node;
  }

  /** While a message is edited its row is left alone. */
  beginEdit(item) {
    this.#editing = keyOf(item);
  }

  endEdit() {
    this.#rows.delete(this.#editing);
    this.#editing = null;
    this.render();
  }

  #drawTop() {
    const room = this.#room;
    const [text, again] = this.#top.children;
    const failed = room.failed?.direction === 'older' ? room.failed.error : null;
    again.hidden = !failed;
    if (!room.joined) setText(text, 'Loading messages…');
    else if (failed) setText(text, errorText(failed));
    else if (room.shownReachesStart) setText(text, room.items().length ? 'This is where the room begins.' : 'No messages yet. Say hello!');
    else setText(text, room.loading === 'older' ? 'Loading older messages…' : '');
  }

  #drawJump() {
    const away = Boolean(this.#room.window) || !(this.#stick || this.atBottom);
    this.#jump.hidden = !away;
    setText(this.#jump.firstChild, this.#missed > 0 ? `${this.#missed} new ${this.#missed === 1 ? 'message' : 'messages'}` : 'Newest messages');
    set(this.#jump, { data: { missed: String(this.#missed) } });
  }

  #scrolled() {
    const room = this.#room;
    if (!room) return;
    this.#stick = this.atBottom && !room.window;
    if (this.#stick) this.#missed = 0;
    this.#drawJump();
    this.#actions.seen();
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    if (scrollTop < LOAD_WITHIN_PX && room.joined && !room.failed) this.#older();
    if (room.window && scrollHeight - scrollTop - clientHeight < LOAD_WITHIN_PX) this.#newer();
  }

  #older() {
    this.#load((room) => this.#model.loadOlder(room));
  }

  #newer() {
    this.#load((room) => this.#model.loadNewer(room));
  }

  async #load(work) {
    const room = this.#room;
    if (room.loading) return;
    try {
      const loading = work(room);
      this.#drawTop();
      const loaded = await loading;
      if (room !== this.#room) return;
      this.render();
      // A short page may leave the top in sight still.
      if (loaded) this.#scrolled();
    } catch {
      if (room === this.#room) this.render();
    }
  }

  #toBottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** The first message in sight and where it stands. */
  #anchor() {
    const top = this.scroller.getBoundingClientRect().top;
    for (const [key, { node }] of this.#rows) {
      if (!node.isConnected || key === 'unread' || key.startsWith('day ')) continue;
      const box = node.getBoundingClientRect();
      if (box.bottom > top) return { key, offset: box.top - top };
    }
    return null;
  }

  #restore({ key, offset }) {
    const node = this.#rows.get(key)?.node;
    if (!node) return;
    const top = this.scroller.getBoundingClientRect().top;
    this.scroller.scrollTop += node.getBoundingClientRect().top - top - offset;
  }
}

function keyOf(item) {
  return item.clientId ? `${item.sender} ${item.clientId}` : item.id;
}

function sameGroup(one, other) {
  if (!one || !other || one.sender !== other.sender || one.kind === 'join' || one.kind === 'leave') return false;
  if (other.kind !== undefined && other.kind !== 'chat') return false;
  const [from, to] = [one, other].map((item) => Date.parse(item.createdAt ?? '') || Date.now());
  return to - from < GROUP_MS && dayKey(from) === dayKey(to);
}
