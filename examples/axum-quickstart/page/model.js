// What the page knows: the rooms, their timelines, who is there and who types. Views read it and listen for its events.
//
// Events: `rooms` (the list or a summary), `timeline`, `typing`, `members` (with `detail.room`), `presence`, `connection`,
// `opened`.

import { ChatClient } from './chat-client.js';
import { Timeline } from './timeline.js';
import { RoomState } from './room.js';

const ROOMS_PAGE = 30;
const FIRST_PAGE = 40;
const TYPING_SHOWN_MS = 5_000;
const PRESENCE_AT_ONCE = 200;

export class ChatModel extends EventTarget {
  rooms = new Map();
  presence = new Map();
  current = null;
  moreRooms = null;
  roomsLoaded = false;
  connection = { state: 'connecting' };

  constructor({ session, api, url }) {
    super();
    this.session = session;
    this.me = session.user;
    this.api = api;
    this.client = new ChatClient({ url, token: () => session.connectionToken(), user: session.user, storage: session.unsent });
    const on = (type, handler) => this.client.addEventListener(type, (event) => handler.call(this, event.detail ?? {}));
    on('state', this.#onState);
    on('joined', this.#onJoined);
    on('resync', this.#onPage);
    on('reset', this.#onPage);
    on('entry', this.#onEntry);
    on('left', this.#onLeft);
    on('typing', this.#onTyping);
    on('read', this.#onRead);
    on('presence', (detail) => this.#onPresence(detail.users));
    on('room', (detail) => this.#onRoom(detail.room));
    on('member', this.#onMember);
    on('outbox', this.#onOutbox);
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

  /** The rooms, the one with the latest activity first. */
  sortedRooms() {
    return [...this.rooms.values()].sort((a, b) => b.activity - a.activity || (a.id < b.id ? -1 : 1));
  }

  get room() {
    return this.rooms.get(this.current) ?? null;
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
      room = new RoomState(id, new Timeline());
      this.rooms.set(id, room);
      this.#showUnsent(room);
      this.client.join(id, { limit: FIRST_PAGE });
    }
    room.takeSummary(summary);
    return room;
  }

  /** What was written before a reload and is not yet sent, or has failed. */
  #showUnsent(room) {
    for (const { clientId, type, text, createdAt, state, error } of this.client.unsent(room.id)) {
      if (type === 'send') {
        room.live.addPending({ clientId, sender: this.me, text, createdAt });
        room.outbox.set(clientId, { state, error });
        if (state === 'failed') room.live.markFailed(clientId, error);
      } else if (state === 'failed') {
        this.client.discard(clientId);
      }
    }
  }

  /** Shows a room; one that is not in the list yet is joined first. */
  open(id) {
    if (this.current === id) return;
    this.current = id;
    const room = this.room;
    if (room) {
      room.placeDivider(this.me);
      if (!room.members.size) this.loadMembers(room).catch(() => {});
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

  async loadOlder(room) {
    return room.loadOlder((fields) => this.client.request('history', { room: room.id, limit: FIRST_PAGE, ...fields }));
  }

  async loadNewer(room) {
    return room.loadNewer((fields) => this.client.request('history', { room: room.id, limit: FIRST_PAGE, ...fields }));
  }

  /** Loads the pages around a message that is not on the page, and shows those in place of the newest. */
  async showAround(room, entry) {
    const ask = (fields) => this.client.request('history', { room: room.id, limit: 25, ...fields });
    const [before, after] = await Promise.all([ask({ before: entry.id }), ask({ after: entry.id })]);
    room.showWindow(new Timeline(), before.page, entry, after.page);
    this.emit('timeline', { room: room.id });
  }

  async loadMembers(room, after) {
    const answer = await this.client.request('members', { room: room.id, limit: 100, ...(after && { after }) });
    if (!after) room.members.clear();
    for (const member of answer.members) room.members.set(member.user, member);
    room.moreMembers = answer.next ?? null;
    this.emit('members', { room: room.id });
    await this.#askPresence(answer.members.map((member) => member.user));
  }

  async #askPresence(users) {
    for (let at = 0; at < users.length; at += PRESENCE_AT_ONCE) {
      const answer = await this.client.request('presence', { users: users.slice(at, at + PRESENCE_AT_ONCE) });
      this.#onPresence(answer.users);
    }
  }

  send(room, text) {
    const clientId = this.client.send(room.id, { text });
    room.live.addPending({ clientId, sender: this.me, text, createdAt: new Date().toISOString() });
    room.outbox.set(clientId, { state: 'sending' });
    room.showLive();
    room.divider = null;
    this.emit('timeline', { room: room.id, sent: true });
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

  /** Tells the server that everything up to the newest message was seen. */
  markRead(room) {
    const cursor = room.newestCursor();
    if (!cursor || cursor === room.read) return;
    room.read = cursor;
    this.client.read(room.id, cursor);
    if (room.unread !== 0) {
      room.unread = 0;
      this.emit('rooms');
    }
  }

  #onState(detail) {
    const before = this.connection.state;
    this.connection = { ...detail };
        this.emit('connection');
    if (detail.state === 'connected' && before !== 'connected') this.#refresh();
  }

  /** Fetches what is only told once: the list, and the people of the room on the page. */
  #refresh() {
    this.loadRooms().catch(() => {});
    if (this.room) this.loadMembers(this.room).catch(() => {});
  }

  #onJoined(detail) {
    const room = this.rooms.get(detail.room);
    if (!room) return;
    if (detail.page) this.#onPage(detail);
    else if (detail.cursor !== room.newestCursor()) room.catchingUp = detail.cursor;
    // Between the list and the join something may have come, which nobody counted.
    if (room.head !== detail.cursor) this.#countUnread(room);
  }

  async #countUnread(room, triesLeft = 3) {
    try {
      const head = room.newestCursor();
      const { unread } = await this.api.unread(room.id);
      // What came meanwhile may or may not be in that number: ask again.
      if (head !== room.newestCursor() && triesLeft > 0) return await this.#countUnread(room, triesLeft - 1);
      room.unread = room.read === room.newestCursor() ? 0 : unread;
      this.emit('rooms');
    } catch {
      // The next list of rooms brings the number.
    }
    return undefined;
  }

  #onPage(detail) {
    const room = this.rooms.get(detail.room);
    if (!room || !detail.page) return;
    room.startFrom(detail.page);
    if (room.id === this.current && room.divider === null) room.placeDivider(this.me);
    this.emit('timeline', { room: room.id, replaced: true });
    this.emit('rooms');
  }

  #onEntry(detail) {
    const { entry } = detail;
    const room = this.rooms.get(entry.room);
    if (!room) return;
    room.applyEntry(entry, this.me);
    this.#stopTyping(room, entry.sender);
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

  #onTyping({ room: id, user, active = true }) {
    const room = this.rooms.get(id);
    if (!room || user === this.me) return;
    this.#stopTyping(room, user);
    if (active) room.typing.set(user, setTimeout(() => this.#stopTyping(room, user), TYPING_SHOWN_MS));
    this.emit('typing', { room: id });
  }

  #stopTyping(room, user) {
    if (!room.typing.has(user)) return;
    clearTimeout(room.typing.get(user));
    room.typing.delete(user);
    this.emit('typing', { room: room.id });
  }

  #onRead({ room: id, user, cursor }) {
    const room = this.rooms.get(id);
    if (!room || user !== this.me || cursor === room.read) return;
    room.read = cursor;
    this.#countUnread(room);
  }

  #onPresence(users = []) {
    for (const presence of users) this.presence.set(presence.user, presence);
    this.emit('presence');
  }

  #onRoom(data) {
    const room = this.rooms.get(data?.id);
    if (!room) return;
    room.takeRoom(data);
    this.emit('rooms');
  }

  #onMember({ room: id, member }) {
    const room = this.rooms.get(id);
    if (member.user === this.me && member.leftAt) return this.forget(id);
    if (!room) {
      if (member.user === this.me) this.loadRooms().catch(() => {});
      return undefined;
    }
    if (member.leftAt) room.members.delete(member.user);
    else room.members.set(member.user, member);
    this.emit('members', { room: id });
    if (!member.leftAt && !this.presence.has(member.user)) this.#askPresence([member.user]).catch(() => {});
    return undefined;
  }

  #onOutbox({ clientId, room: id, state, error }) {
    const room = this.rooms.get(id);
    if (!room) return;
    if (state === 'failed') {
      room.outbox.set(clientId, { state, error });
      room.live.markFailed(clientId, error);
    } else {
      room.outbox.set(clientId, { state });
    }
    this.emit('timeline', { room: id });
    this.emit('outbox', { clientId, room: id, state, error });
  }
}
