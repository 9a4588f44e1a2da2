// The rows of a history: which stand where, and which must be drawn anew. A row stays the same element as long as it is
// shown, so that neither focus nor place is lost when its message changes.

import { arrange } from './dom.js';
import { openEditor } from './editor.js';
import { dayKey, displayName } from './format.js';
import { daySeparator, fillMessage, messageRow, noticeRow, unreadDivider } from './message.js';

/** Messages of one person this close together are one group. */
const GROUP_MS = 5 * 60_000;

const isNotice = ({ kind }) => kind === 'join' || kind === 'leave';
const timeOf = (item) => item.createdAt ?? Date.now();
/** The same for a message on its way and for its entry. */
const keyOf = (item) => (item.clientId ? `${item.sender} ${item.clientId}` : item.id);

export class Rows {
  /** Called with a row whose content was made anew. */
  onFilled = () => {};
  #log;
  #me;
  #rows = new Map();
  #byNode = new WeakMap();
  #editing = null;
  #active = null;
  #isEmpty = true;

  constructor(log, me) {
    this.#log = log;
    this.#me = me;
  }

  clear() {
    this.#rows.clear();
    this.#editing = null;
    this.#active = null;
    this.#isEmpty = true;
    this.#log.replaceChildren();
  }

  /** `{node, item, place}` of a row's element. */
  of(node) {
    return this.#byNode.get(node);
  }

  withId(id) {
    return [...this.#rows.values()].find(({ item }) => item?.id === id)?.node;
  }

  get isEditing() {
    return this.#editing !== null;
  }

  get divider() {
    return this.#rows.get('unread')?.node;
  }

  /** The row that the Tab key leads to. */
  get active() {
    return this.#rows.get(this.#active)?.node ?? this.newest;
  }

  get newest() {
    return [...this.#rows.values()].findLast(({ place }) => place)?.node;
  }

  /** Brings the rows in line with the room. `arriving` lets new ones move in. */
  draw(room, { arriving }) {
    const items = room.items();
    const seen = this.#seen(items, room);
    const divided = this.#divided(items, room);
    const shared = sharedNames(items, room);
    const wanted = new Map();
    items.forEach((item, at) => {
      const before = items[at - 1];
      const day = dayKey(timeOf(item));
      if (!before || dayKey(timeOf(before)) !== day) wanted.set(`day ${day}`, { make: () => daySeparator(timeOf(item)), signature: '' });
      if (item === divided) wanted.set('unread', { make: unreadDivider, signature: '' });
      if (isNotice(item)) wanted.set(item.id, { make: () => noticeRow(item), signature: '', item });
      else wanted.set(keyOf(item), this.#message(items, at, room, { divided, shared, seenBy: seen?.item === item ? seen.users : [] }));
    });
    const hadFocus = this.#log.contains(document.activeElement);
    const nodes = [...wanted].map(([key, row]) => this.#take(key, row, arriving && !this.#isEmpty));
    for (const key of this.#rows.keys()) if (!wanted.has(key)) this.#rows.delete(key);
    arrange(this.#log, nodes);
    this.#isEmpty = nodes.length === 0;
    this.activate(this.active);
    return hadFocus && !this.#log.contains(document.activeElement);
  }

  /** Makes one row the one that the Tab key leads to. */
  activate(node) {
    const known = this.of(node);
    if (!known?.place) return;
    const key = keyOf(known.item);
    if (key !== this.#active) this.#tabStops(this.#rows.get(this.#active)?.node, -1);
    this.#tabStops(node, 0);
    // The newest is the one as long as no other was chosen.
    this.#active = node === this.newest ? null : key;
    if (this.#active === null) for (const row of this.#log.querySelectorAll('.message[tabindex="0"]')) if (row !== node) this.#tabStops(row, -1);
  }

  #tabStops(node, index) {
    if (!node) return;
    node.tabIndex = index;
    for (const button of node.querySelectorAll('.chip, .text a, .failed button')) button.tabIndex = index;
  }

  /** Opens the editor in a message's row; `done` gets the new text or null. */
  edit(node, limit, done) {
    const { item } = this.of(node);
    const finish = (text) => {
      const row = this.#rows.get(keyOf(item));
      this.#editing = null;
      if (row) this.#fill(row);
      done(text, row?.node);
    };
    this.#editing = { key: keyOf(item), open: (row, shown) => openEditor(row, shown, limit, finish) };
    this.#editing.open(node, item);
  }

  #take(key, { make, signature, item, place }, arriving) {
    let row = this.#rows.get(key);
    if (!row) {
      row = { node: make() };
      row.node.classList.toggle('is-new', arriving);
      this.#rows.set(key, row);
      this.#byNode.set(row.node, row);
    } else if (row.signature === signature) {
      Object.assign(row, { item, place });
      return row.node;
    }
    Object.assign(row, { signature, item, place });
    if (place && this.#editing?.key !== key) keepingFocus(row.node, () => this.#fill(row));
    return row.node;
  }

  #fill({ node, item, place }) {
    fillMessage(node, item, place);
    if (node.tabIndex === 0) this.#tabStops(node, 0);
    this.onFilled(node);
  }

  #message(items, at, room, { divided, shared, seenBy }) {
    const item = items[at];
    const own = item.sender === this.#me;
    const before = item === divided ? null : items[at - 1];
    const after = items[at + 1] === divided ? null : items[at + 1];
    const stored = Boolean(item.id) && !item.deleted;
    const writes = room.active && room.isAtLeast('member');
    const place = {
      me: this.#me,
      own,
      hasNamesake: shared.has(nameOf(item.sender)),
      first: !sameGroup(before, item),
      last: !sameGroup(item, after),
      state: stateOf(item, room),
      mayReact: stored && writes,
      mayEdit: stored && writes && own && item.text !== undefined,
      mayDelete: stored && writes && (own || room.isAtLeast('moderator')),
      seenBy,
    };
    const signature = [
      item.id, item.createdAt, item.edited?.seq, item.deleted, item.error?.code, JSON.stringify(item.reactions),
      ...Object.values(place),
    ].join();
    return { make: messageRow, signature, item, place };
  }

  /** One's own newest message that somebody has seen, and who. */
  #seen(items, room) {
    for (const item of items.toReversed()) {
      if (item.sender !== this.#me || !item.seq || isNotice(item) || item.deleted) continue;
      const users = room.receipts.readersOf(item.seq, this.#me);
      if (users.length > 0) return { item, users };
    }
    return null;
  }

  /** The message above which the line "new messages" stands. */
  #divided(items, room) {
    if (room.dividerAfter === null) return null;
    const found = items.find((item) => item.seq > room.dividerAfter && item.sender !== this.#me && !isNotice(item));
    // Before the first one here there may be others, on a page not loaded.
    const sure = room.shown.reachesStart || items[0]?.seq <= room.dividerAfter;
    return sure ? found ?? null : null;
  }
}

const names = new Map();

/** Decoding a name is dear, and each is asked for with every message. */
function nameOf(user) {
  if (!names.has(user)) {
    if (names.size > 2_000) names.clear();
    names.set(user, displayName(user).toLocaleLowerCase());
  }
  return names.get(user);
}

/** The names that several people here go by, in any case of their letters. */
function sharedNames(items, room) {
  const users = new Set([...room.members.keys(), ...items.map(({ sender }) => sender)]);
  const [once, more] = [new Set(), new Set()];
  for (const user of users) {
    const name = user && nameOf(user);
    if (once.has(name)) more.add(name);
    once.add(name);
  }
  return more;
}

/** A change of what a row contains must not lose the focus in it. */
function keepingFocus(row, work) {
  const focused = document.activeElement;
  const inside = focused !== row && row.contains(focused);
  work();
  if (!inside || row.contains(document.activeElement)) return;
  const { testid, key } = focused.dataset;
  const again = [...row.querySelectorAll(`[data-testid="${testid}"]`)].find((node) => node.dataset.key === key);
  (again ?? row).focus({ preventScroll: true });
}

function stateOf(item, room) {
  if (!item.pending) return 'sent';
  if (item.failed) return 'failed';
  return room.outbox.get(item.clientId)?.state === 'sent' ? 'sent' : 'sending';
}

function sameGroup(one, other) {
  if (!one || !other || one.sender !== other.sender || isNotice(one) || isNotice(other)) return false;
  const [from, to] = [one, other].map((item) => new Date(timeOf(item)).getTime());
  return to - from < GROUP_MS && dayKey(from) === dayKey(to);
}
