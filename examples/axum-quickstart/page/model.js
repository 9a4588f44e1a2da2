// What the page knows: the rooms, their history, who is there and who types. Views read it and listen for its events.
//
// Events: `rooms` (the list or a summary), `timeline`, `typing`, `members` (with `detail.room`), `receipts`, `presence`,
// `connection`, `outbox`, `opened`.

import { ChatClient } from './chat-client.js';
import { Reading } from './reading.js';
import { RoomState } from './room.js';
import { Roster } from './roster.js';

const ROOMS_PAGE = 30;
const PAGE = 30;
/** Messages loaded on either side of one that is looked for. */
const AROUND = 25;

export class ChatModel extends EventTarget {
  rooms = new Map();
  current = null;
  moreRooms = null;
  roomsLoaded = false;
  connection = { state: 'connecting' };
  /** Says whether somebody looks at the newest messages of the open room; the view knows. */
  isAttended = () => false;

  constructor({ session, api, url }) {
    super();
    this.session = session;
    this.me = session.user;
    this.api = api;
    this.client = new ChatClient({ url, user: this.me, token: () => session.connectionToken(), storage: session.unsent });
    this.roster = new Roster(this);
    this.reading = new Reading(this);
    const on = (type, handler) => this.client.on(type, (detail) => handler.call(this, detail));
    const inRoom = (handler) => (detail) => {
      const room = this.rooms.get(detail.room);
      if (room) handler.call(this, room, detail);
    };
    on('state', this.#onState);
    on('joined', inRoom(this.#onJoined));
    on('resync', inRoom(this.#onPage));
    on('reset', inRoom((room, detail) => this.#onPage(room, { ...detail, outcome: 'reset' })));
    on('entry', ({ entry }) => this.rooms.has(entry.room) && this.#onEntry(this.rooms.get(entry.room), entry));
    on('left', this.#onLeft);
    on('typing', inRoom((room, { user, active = true }) => this.roster.onTyping(room, user, active)));
    on('read', inRoom((room, { user, cursor }) => this.reading.onRead(room, user, cursor)));
    on('presence', ({ users }) => this.roster.onPresence(users));
    on('room', this.#onRoom);
    on('member', this.#onMember);
    on('outbox', inRoom(this.#onOutbox));
    on('noticesLost', this.#refresh);
  }

  start() {
    this.client.start();
  }

  stop() {
    this.client.close();
  }

  emit(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  get room() {
    return this.rooms.get(this.current) ?? null;
  }

  /** The rooms, the one with the latest activity first. */
  sortedRooms() {
    return [...this.rooms.values()].sort((a, b) => b.activity - a.activity || (a.id < b.id ? -1 : 1));
  }

  /** Loads the next page of the list, or its first one again, and joins what is new so that its badge is live. */
  async loadRooms(after) {
    const answer = await this.client.request('rooms', { limit: ROOMS_PAGE, ...(after && { after }) });
    for (const summary of answer.rooms) this.#takeSummary(summary);
    if (after || !this.roomsLoaded) this.moreRooms = answer.next ?? null;
    this.roomsLoaded = true;
    this.emit('rooms');
  }

  #takeSummary(summary) {
    const { id } = summary.room;
    let room = this.rooms.get(id);
    if (!room) {
      room = new RoomState(id);
      this.rooms.set(id, room);
      this.client.join(id, { limit: PAGE });
      this.#showUnsent(room);
    }
    if (room.takeSummary(summary)) this.reading.count(room);
    return room;
  }

  /** What was written before a reload and is not yet sent, or has failed. */
  #showUnsent(room) {
    for (const unsent of this.client.unsent(room.id)) {
      if (unsent.type === 'send') this.#addPending(room, unsent);
      else if (unsent.state === 'failed') this.client.discard(unsent.clientId);
    }
  }

  open(id) {
    if (this.current === id) return;
    this.current = id;
    if (this.room) {
      this.reading.placeDivider(this.room);
      this.#loadPeople(this.room);
    }
    this.emit('opened', { room: id });
  }

  /** Adds a room that was just made. */
  addRoom(room) {
    this.#takeSummary({ room, role: 'owner', unread: 0, activity: room.createdAt });
    this.emit('rooms');
  }

  forget(id) {
    if (!this.rooms.delete(id)) return;
    this.client.leave(id);
    if (this.current === id) {
      this.current = null;
      this.emit('opened', { room: null });
    }
    this.emit('rooms');
  }

  /** Asks for parts of a room's history. */
  history(room) {
    return (fields) => this.client.request('history', { room: room.id, limit: PAGE, ...fields });
  }

  loadOlder(room) {
    return room.loadOlder(this.history(room));
  }

  loadNewer(room) {
    return room.loadNewer(this.history(room));
  }

  /** Shows a message and what is around it, as the log has it now, in place of the newest. */
  async showAround(room, entry) {
    const ask = this.history(room);
    const { page: before } = await ask({ before: entry.id, limit: AROUND });
    const last = before.entries.at(-1);
    const { page: after } = await ask({ after: last?.id ?? entry.id, limit: AROUND + 1 });
    const entries = last ? [...before.entries, ...after.entries] : [entry, ...after.entries];
    room.showWindow({ ...after, entries, reachesStart: before.reachesStart });
    this.emit('timeline', { room: room.id });
  }

  async #loadPeople(room) {
    try {
      await this.roster.load(room);
      await this.reading.load(room);
    } catch {
      // They are loaded with the next connection, or when the room is opened again.
    }
  }

  send(room, text) {
    const clientId = this.client.send(room.id, { text });
    this.#addPending(room, { clientId, text, createdAt: new Date().toISOString() });
    room.showLive();
    room.dividerAfter = null;
    this.emit('timeline', { room: room.id, sent: true });
  }

  #addPending(room, { clientId, text, createdAt, error }) {
    room.live.addPending({ clientId, sender: this.me, text, createdAt });
    room.outbox.set(clientId, { state: error ? 'failed' : 'sending', error });
    if (error) room.live.markFailed(clientId, error);
  }

  retry(room, clientId) {
    room.outbox.set(clientId, { state: 'sending' });
    room.live.markSending(clientId);
    this.client.retry(clientId);
    this.emit('timeline', { room: room.id });
  }

  discard(room, clientId) {
    this.client.discard(clientId);
    room.outbox.delete(clientId);
    room.live.discard(clientId);
    this.emit('timeline', { room: room.id });
  }

  #onState(detail) {
    const before = this.connection.state;
    this.connection = { ...detail };
    this.emit('connection', { before });
    if (detail.state === 'connected' && before !== 'connected') this.#refresh();
  }

  /** Fetches what is only told once: the list, and the people of the open room. */
  #refresh() {
    this.loadRooms().catch(() => {});
    const { room } = this;
    if (!room) return;
    room.failed = null;
    this.#loadPeople(room);
    this.emit('timeline', { room: room.id });
  }

  #onJoined(room, detail) {
    if (detail.page) this.#onPage(room, detail);
    else if (detail.cursor !== room.newestCursor()) room.catchingUp = detail.cursor;
    // Between the list and the join something may have come, which nobody counted.
    if (room.head !== detail.cursor) this.reading.count(room);
  }

  /** A page takes the place of what was known. Without one, what was missed follows entry by entry. */
  #onPage(room, { page, outcome }) {
    if (!page) return;
    const first = !room.joined;
    room.startFrom(page, { reset: outcome === 'reset' });
    if (first && room.id === this.current && room.dividerAfter === null) this.reading.placeDivider(room);
    this.emit('timeline', { room: room.id, replaced: true });
    this.emit('rooms');
  }

  #onEntry(room, entry) {
    const attended = room.id === this.current && this.isAttended();
    room.applyEntry(entry, { me: this.me, attended });
    this.roster.stopTyping(room, entry.sender);
    this.emit('timeline', { room: room.id, entry });
    this.emit('rooms');
  }

  #onLeft({ room: id, error }) {
    const room = this.rooms.get(id);
    if (room && error?.code === 'limit_exceeded') {
      room.refused = error;
      this.emit('rooms');
    } else {
      this.forget(id);
    }
  }

  #onRoom({ room: data }) {
    const room = this.rooms.get(data?.id);
    if (!room) return;
    room.takeRoom(data);
    this.emit('rooms');
  }

  #onMember({ room: id, member }) {
    const room = this.rooms.get(id);
    const mine = member.user === this.me;
    if (mine && member.leftAt) this.forget(id);
    else if (room) this.roster.onMember(room, member);
    else if (mine) this.loadRooms().catch(() => {});
  }

  #onOutbox(room, { clientId, state, error, type, position }) {
    if (state === 'failed') {
      // Edits, deletes and reactions are not kept for another try: the page says at once what became of them.
      if (type !== 'send') this.client.discard(clientId);
      room.outbox.set(clientId, { state, error });
      room.live.markFailed(clientId, error);
    } else if (state === 'sent' && room.outbox.has(clientId)) {
      room.outbox.set(clientId, { state });
      // A message that is among those missed over a break is no longer on its way.
      if (room.live.confirm(clientId, position)) room.outbox.delete(clientId);
    }
    this.emit('timeline', { room: room.id });
    this.emit('outbox', { clientId, room: room.id, state, error, command: type });
  }
}
