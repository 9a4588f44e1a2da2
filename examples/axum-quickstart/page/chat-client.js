// The reference client of the chat protocol, version 1, as chat-gateway/PROTOCOL.md tells it: connecting, resuming, dropping
// what came twice, sending again. One file to copy: no DOM, no dependency, no build. For browsers, Deno, Bun, and Node from
// version 22; older ones are given a `WebSocket`.
//
//   import { ChatClient } from './chat-client.js';
//
//   const client = new ChatClient({ url: 'wss://example.org/chat/ws', token: ({ fresh }) => fetchToken(fresh) });
//   client.on('state', ({ state, retryInMs, reason }) => showConnection(state, retryInMs, reason));
//   client.on('joined', ({ page }) => page && startFrom(page)); // without a page, what was missed follows entry by entry
//   client.on('resync', ({ page }) => page && startFrom(page)); // too much was missed: older messages are on pages behind it
//   client.on('reset', ({ page }) => startFrom(page));
//   client.on('entry', ({ entry }) => show(entry)); // each entry of the room once, in the room's order
//   client.on('outbox', ({ clientId, state, error }) => mark(clientId, state, error)); // sending, accepted, sent or failed
//   client.start();
//   client.join('general');
//   const clientId = client.send('general', { text: 'hello' }); // goes out now, or as soon as there is a connection
//   const { page } = await client.request('history', { room: 'general', before: oldestCursor, limit: 50 });
//   client.read('general', newestEntry);
//   client.close();
//
// What it does by itself:
// - It reconnects without end, after a random time in [0, min(30 s, 0.5 s · 2^n)) before try n and what the server asked for on
//   top. It stays away after `closed`, `replaced` and mistakes of its own, until `start`.
// - It takes a connection that was silent for two heartbeats for dead.
// - It joins its rooms again with the cursor of the last entry applied. Of a room it keeps that cursor and its number only.
// - It sends the commands that write one after the other in each room, each with one `clientId` for ever, until the server has
//   stored or refused it. What the server has only accepted into a queue is sent again after a break, until its entry is there.
//   At most `maxUnsent` wait; one more has failed at once, with `outbox_full`.

/**
 * @typedef {object} Options
 * @property {string} url Such as `wss://example.org/chat/ws`. Tokens never stand in it.
 * @property {(how: {fresh: boolean}) => string | Promise<string>} token Gives a token. `fresh`: the last one was refused or
 *   ends soon, so it must be another one. Where it fails it is asked again later.
 * @property {string} [user] The user's id, if known: what is written before the first connection is then kept in `storage` too.
 * @property {Storage} [storage] Keeps what is not yet sent over a reload; without it, it lives in memory.
 * @property {number} [maxUnsent] How many messages may wait, failed ones included. 1000 unless given.
 * @property {new (url: string, protocols: string[]) => WebSocket} [WebSocket] In place of the global one.
 * @property {() => number} [random] In place of `Math.random`.
 * @property {Clock} [clock] In place of the global timers.
 *
 * @typedef {object} Storage One place for one text, for this client alone. Both functions may return promises.
 * @property {() => string | null | undefined | Promise<string | null | undefined>} get What was set last.
 * @property {(text: string) => unknown} set
 *
 * @typedef {{now(): number, setTimeout(callback: () => void, delay: number): any, clearTimeout(id: any): void}} Clock
 * @typedef {{text?: string, json?: any}} Body
 * @typedef {Body & {room: string, cursor: string, seq: number, id: string, sender: string, clientId?: string, createdAt: string,
 *   kind: 'chat' | 'custom' | 'join' | 'leave' | 'edit' | 'delete' | 'reaction', name?: string, user?: string, target?: string,
 *   key?: string, op?: 'add' | 'remove', edited?: {seq: number, at: string}, deleted?: boolean, system?: boolean,
 *   reactions?: {key: string, count: number, users: string[]}[]}} Entry
 * @typedef {{entries: Entry[], reachesStart: boolean, reachesHead: boolean, cursor: string, seq: number}} Page
 * @typedef {{after: string, before: string}} Hole
 * @typedef {{user: string, online: boolean, connections: number, since?: string, lastSeen?: string}} Presence
 * @typedef {{id: string, key?: string, active: boolean, maxBodyChars: number, metadata: any, createdAt: string}} RoomInfo
 * @typedef {{user: string, role: string, joinedAt: string, leftAt?: string}} Member
 * @typedef {{room: RoomInfo, role: string, unread: number, read?: string, head?: string, preview?: Entry, activity: string}} Summary
 * @typedef {{id: string, cursor: string, seq: number, createdAt: string, duplicate?: boolean, durability?: string}} StoredAt
 *
 * @typedef {Body & {clientId: string, room: string, type: 'send' | 'edit' | 'delete' | 'react', name?: string, target?: string,
 *   key?: string, op?: 'add' | 'remove', createdAt: string, state: 'sending' | 'accepted' | 'sent' | 'failed', error?: ChatError,
 *   position?: StoredAt}} Written A command that writes. A failed one waits for `retry` or `discard`. An accepted one is in the
 *   server's durable queue: it has no position yet, and is `sent` with its entry. `createdAt` is by this device's clock: to
 *   show it, not to order by it.
 *
 * @typedef {'connecting' | 'connected' | 'waiting' | 'stopped'} State
 * @typedef {object} Events What listeners are given, by the event's type. All but `state`, `outbox` and `storage` are frames.
 * @property {{state: State, retryInMs?: number, reason?: string, message?: string, user?: string, connection?: string,
 *   limits?: {frameBytes: number, rooms: number, replay: number}}} state
 * @property {Written} outbox
 * @property {{error: Error}} storage The storage failed; what is not yet sent is in memory only.
 * @property {{room: string, outcome: 'new' | 'recovered' | 'limited' | 'reset', cursor: string, page?: Page, hole?: Hole}} joined
 * @property {{room: string, entry: Entry}} entry
 * @property {{room: string, cursor: string, hole: Hole, page?: Page}} resync
 * @property {{room: string, cursor: string, page: Page}} reset
 * @property {{room: string, reason: string, error?: ChatError}} left Also of a room that could not be joined.
 * @property {{room: string, user: string, active: boolean}} typing
 * @property {{room: string, user: string, name: string, data: any}} signal
 * @property {{room: string, user: string, cursor: string}} read
 * @property {{users: Presence[]}} presence
 * @property {{room: RoomInfo}} room
 * @property {{room: string, member: Member}} member
 * @property {{}} noticesLost Fetch again what is shown of typing, reading, presence, rooms and members.
 *
 * @typedef {object} Requests What can be asked for: the fields of the question, and the answer.
 * @property {[{room: string, before?: string, after?: string, limit?: number, view?: 'timeline' | 'log'}, {page: Page}]} history
 * @property {[{after?: string, limit?: number}, {rooms: Summary[], next?: string}]} rooms
 * @property {[{room: string, after?: string, limit?: number}, {members: Member[], next?: string}]} members
 * @property {[{users: string[]}, {users: Presence[]}]} presence
 */

const CONNECT_TIMEOUT_MS = 10_000; // for opening a WebSocket and being let in
const ANSWER_TIMEOUT_MS = 15_000; // for the answer to a command
const TOKEN_TIMEOUT_MS = 30_000; // for the application to give a token
const HEARTBEAT_SECONDS = 25; // where the server does not say
const STABLE_MS = 5_000; // a connection that lived this long was a good one: the next wait starts small again
const HEAD_PATIENCE_MS = 3_000; // for the entry behind an announced head; doubled, up to the cap, while it does not come
const HEAD_PATIENCE_CAP_MS = 30_000;
const MOST_READS = 8; // positions without a number that wait to be marked read in one room
const BACKOFF_MS = 500;
const BACKOFF_CAP_MS = 30_000;

const WRITES = new Set(['send', 'edit', 'delete', 'react']);
const OF_A_ROOM = new Set(['entry', 'resync', 'reset', 'left', 'typing', 'signal']);
const PASSED_ON = new Set(['read', 'presence', 'room', 'member', 'noticesLost']);

const RETRYABLE = new Set(['busy', 'rate_limited', 'timeout', 'unavailable', 'disconnected']);
const NEEDS_TOKEN = new Set(['token_expired', 'token_revoked', 'unauthenticated']);
const MISTAKES = new Set(['frame_too_large', 'binary_frame', 'malformed', 'invalid_url']);
const STAYS_AWAY = new Set(['closed', 'replaced', ...MISTAKES]);

/** What WebSocket close codes mean without their `closing` frame. 1000 is not here: without the frame it is not the server's. */
const CODE_OF_CLOSE = {
  4000: 'draining', 4001: 'unauthenticated', 4002: 'replaced', 4003: 'connect_timeout', 4004: 'malformed', 4005: 'too_slow',
  4006: 'idle', 4011: 'internal',
};

const CLOCK = {
  now: () => Date.now(),
  // Browsers refuse to run their own timers as methods of another object.
  setTimeout: (callback, delay) => globalThis.setTimeout(callback, delay),
  clearTimeout: (id) => globalThis.clearTimeout(id),
};

/** An error the server sent, or one of the client's own: `timeout`, `disconnected`, `outbox_full`, `frame_too_large` … */
export class ChatError extends Error {
  /** @param {{code: string, message?: string, retryable?: boolean, retryAfterMs?: number}} problem */
  constructor({ code, message, retryable, retryAfterMs }) {
    super(message ?? code);
    this.name = 'ChatError';
    this.code = code;
    this.retryable = typeof retryable === 'boolean' ? retryable : RETRYABLE.has(code);
    // A delay that makes no sense is none.
    const sensible = typeof retryAfterMs === 'number' && retryAfterMs >= 0 && retryAfterMs < 2 ** 31;
    this.retryAfterMs = sensible ? retryAfterMs : undefined;
  }
}

export class ChatClient extends EventTarget {
  /** The user's id, once it is known. @type {string | undefined} */
  user;
  /** @type {State} */
  state = 'stopped';
  #options;
  #line; // what the parts below share
  #connection;
  #rooms = new Map();
  #reads = new Map();
  #outbox;
  #token;
  #expiresAt;
  #fresh = false; // whether the next token must be another one
  #attempt = 0;
  #era = 0; // grows with every start and end, so that a token that comes late finds itself unwanted
  #timers;

  /** @param {Options} options */
  constructor({ url, token, user, storage, maxUnsent = 1000, WebSocket = globalThis.WebSocket, random = Math.random, clock = CLOCK }) {
    super();
    this.user = user;
    this.#options = { url, token, WebSocket };
    this.#line = {
      clock,
      random,
      connection: () => (this.state === 'connected' ? this.#connection : undefined),
      tell: (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail })),
      refused: (error) => this.#connection?.end(error),
      found: (room, entry) => this.#found(room, entry),
      follows: (room) => this.#rooms.has(room),
    };
    this.#timers = { next: new Timer(clock), stable: new Timer(clock), renewal: new Timer(clock) };
    this.#outbox = new Outbox(this.#line, storage, maxUnsent);
  }

  /**
   * Listens, and returns a function that stops listening. `addEventListener` works too, with this in the event's `detail`.
   * @template {keyof Events} T
   * @param {T} type @param {(detail: Events[T]) => void} listener @returns {() => void}
   */
  on(type, listener) {
    const handler = (event) => listener(event.detail);
    this.addEventListener(type, handler);
    return () => this.removeEventListener(type, handler);
  }

  /** Connects; while waiting for the next try, tries at once: for instance when the device is online again. */
  start() {
    if (this.state === 'connecting' || this.state === 'connected') return;
    if (this.state === 'stopped') this.#attempt = 0;
    this.#connect();
  }

  /** Disconnects and stays so. Rooms, positions and what is not yet sent are kept for the next `start`. */
  close() {
    this.#token = undefined;
    this.#halt();
  }

  /**
   * Follows a room, from now until `leave`, over every break. `cursor`: where an earlier run of the application stood;
   * `limit`: how long a page is.
   * @param {string} room @param {{cursor?: string, limit?: number}} [options]
   */
  join(room, options) {
    if (!this.#rooms.has(room)) this.#rooms.set(room, new Room(this.#line, room, (frame) => this.#left(frame)));
    this.#rooms.get(room).follow(options);
  }

  /** @param {string} room */
  leave(room) {
    this.#rooms.get(room)?.leave();
    this.#rooms.delete(room);
  }

  /** The last entry applied: what to keep to go on from after a restart. @param {string} room @returns {string | undefined} */
  cursor(room) {
    return this.#rooms.get(room)?.cursor;
  }

  /**
   * Writes a message and returns its `clientId`; `outbox` events say what becomes of it. `name` makes it a custom entry.
   * @param {string} room @param {Body & {name?: string}} message
   */
  send(room, { text, json, name }) {
    return this.#write({ type: 'send', room, text, json, name });
  }

  /** `target`: a message's id. @param {string} room @param {string} target @param {Body} body */
  edit(room, target, { text, json }) {
    return this.#write({ type: 'edit', room, target, text, json });
  }

  /** @param {string} room @param {string} target */
  delete(room, target) {
    return this.#write({ type: 'delete', room, target });
  }

  /** `key`: such as an emoji. @param {string} room @param {string} target @param {string} key @param {'add' | 'remove'} [op] */
  react(room, target, key, op = 'add') {
    return this.#write({ type: 'react', room, target, key, op });
  }

  /**
   * What is not yet sent, or failed, in the order it was written; also what an earlier run of the application left.
   * @param {string} [room] @returns {Written[]}
   */
  unsent(room) {
    return this.#outbox.list().filter((item) => room === undefined || item.room === room);
  }

  /** Sends what has failed again, behind what waits in its room. @param {string} clientId */
  retry(clientId) {
    return this.#outbox.retry(clientId);
  }

  /** Forgets what is not yet sent. What is under way may have been stored all the same. @param {string} clientId */
  discard(clientId) {
    return this.#outbox.discard(clientId);
  }

  /** Worth something only now: dropped where the room is not joined at this moment. @param {string} room */
  typing(room, active = true) {
    this.#rooms.get(room)?.post({ type: 'typing', room, active });
  }

  /** As `typing`, with any content. @param {string} room @param {string} name @param {any} [data] */
  signal(room, name, data) {
    this.#rooms.get(room)?.post({ type: 'signal', room, name, data });
  }

  /**
   * Marks the room read; kept until the server has it, the newest only. It goes forward only: by their numbers here, which
   * entries and pages have, and by the server's own order always; what has no number is sent beside the others. `position`:
   * an entry, a page, or a cursor.
   * @param {string} room @param {string | {cursor: string, seq?: number}} position
   */
  read(room, position) {
    const { cursor, seq } = typeof position === 'string' ? { cursor: position, seq: undefined } : position;
    const followed = this.#rooms.get(room);
    const number = seq ?? followed?.numberOf(cursor) ?? null;
    if (followed?.mayRead(number) === false) return;
    if (!this.#reads.has(room)) this.#reads.set(room, this.#newRead(room));
    const read = this.#reads.get(room);
    read.add({ cursor, seq: number }, cursor === followed?.cursor);
    read.errand.go();
  }

  /**
   * Asks the server. Rejects with a ChatError: at once where there is no connection, and when it breaks.
   * @template {keyof Requests} T
   * @param {T} type @param {Requests[T][0]} [fields] @returns {Promise<Requests[T][1]>}
   */
  request(type, fields) {
    return new Promise((resolve, reject) => {
      const connection = this.#line.connection();
      if (!connection) throw new ChatError({ code: 'disconnected', message: 'there is no connection now' });
      const answer = (frame) => {
        for (const entry of frame.page?.entries ?? []) this.#found(entry.room, entry);
        resolve(frame);
      };
      connection.command({ ...fields, type }, { answer, error: reject });
    });
  }

  #setState(state, more) {
    this.state = state;
    this.#line.tell('state', { state, ...more });
  }

  /** Begins another era: whatever is on its way from the one before is unwanted. */
  #newEra() {
    for (const timer of Object.values(this.#timers)) timer.clear();
    return ++this.#era;
  }

  #forgetToken() {
    this.#token = this.#expiresAt = undefined;
    this.#fresh = true;
  }

  async #connect() {
    const era = this.#newEra();
    this.#setState('connecting');
    if (era !== this.#era) return;
    // A wrong clock costs a needless token at most: it is the server who judges.
    if (Date.parse(this.#expiresAt) <= this.#line.clock.now()) this.#forgetToken();
    this.#timers.next.set(TOKEN_TIMEOUT_MS, () => this.#wait('token_unavailable', 'no token came in time'));
    try {
      await this.#outbox.restored;
      const token = this.#token ?? (await this.#options.token({ fresh: this.#fresh }));
      if (era !== this.#era) return;
      this.#token = token;
    } catch (error) {
      if (era === this.#era) this.#wait('token_unavailable', error?.message);
      return;
    }
    this.#timers.next.clear();
    try {
      this.#connection = new Connection(this.#line.clock, this.#options, this.#token, {
        connected: (hello) => this.#onConnected(hello),
        frame: (frame) => this.#onFrame(frame),
        end: (reason) => this.#onEnd(reason),
      });
    } catch (error) {
      this.#halt('invalid_url', error.message);
    }
  }

  #onConnected(hello) {
    const { user, connection, limits, expiresAt } = hello;
    this.#expiresAt = expiresAt;
    this.#fresh = false;
    if ((this.user ?? user) !== user) this.#reads.clear();
    this.user = user;
    this.#timers.stable.set(STABLE_MS, () => (this.#attempt = 0));
    this.#outbox.belongsTo(user);
    this.#setState('connected', { user, connection, limits });
    // Whoever listens may have closed it: then these find no connection.
    for (const room of this.#rooms.values()) room.join();
    this.#outbox.flush();
    for (const { errand } of this.#reads.values()) errand.go();
  }

  #onFrame(frame) {
    if (frame.type === 'noticesLost') this.#outbox.sendAcceptedAgain();
    if (PASSED_ON.has(frame.type)) this.#line.tell(frame.type, frame);
    else if (OF_A_ROOM.has(frame.type)) this.#rooms.get(frame.entry?.room ?? frame.room)?.onFrame(frame);
    else if (frame.type === 'heads') {
      for (const [room, cursor] of Object.entries(frame.heads ?? {})) this.#rooms.get(room)?.expect(cursor);
    } else if (frame.type === 'expiring') this.#renew(this.#connection, 0);
    else if (frame.type === 'sendFailed') this.#outbox.failLate(frame, new ChatError(frame));
    else if (frame.type === 'error' && frame.clientId) this.#outbox.refuse(frame.clientId, new ChatError(frame));
  }

  #onEnd({ code, message, retryAfterMs }) {
    this.#connection = undefined;
    if (NEEDS_TOKEN.has(code)) this.#forgetToken();
    if (MISTAKES.has(code)) this.#outbox.failUnderWay(new ChatError({ code, message, retryable: false }));
    if (STAYS_AWAY.has(code)) this.#halt(code, message);
    else this.#wait(code, message, retryAfterMs);
  }

  #wait(reason, message, retryAfterMs) {
    this.#disconnected();
    // On top of the server's time comes a share of chance, lest all its clients come back as one.
    const retryInMs = (retryAfterMs ?? 0) + jitter(this.#attempt++, this.#line.random);
    this.#timers.next.set(retryInMs, () => this.#connect());
    this.#setState('waiting', { retryInMs, reason, message });
  }

  #halt(reason, message) {
    if (this.state === 'stopped') return;
    this.#disconnected();
    this.#setState('stopped', { reason, message });
  }

  #disconnected() {
    this.#newEra();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.end();
    for (const room of this.#rooms.values()) room.disconnected();
    for (const { errand } of this.#reads.values()) errand.rest();
    this.#outbox.rest();
  }

  /** Gives the server a new token before the old one ends. */
  async #renew(connection, attempt) {
    const later = (error) => {
      const delay = error?.retryAfterMs ?? jitter(attempt, this.#line.random);
      if (connection === this.#connection) this.#timers.renewal.set(delay, () => this.#renew(connection, attempt + 1));
    };
    let token;
    try {
      token = await this.#options.token({ fresh: true });
    } catch (error) {
      later(error);
      return;
    }
    if (connection !== this.#connection) return;
    this.#token = token;
    connection.command({ type: 'token', token }, {
      answer: ({ expiresAt }) => (this.#expiresAt = expiresAt),
      error: (error) => {
        if (error.code === 'disconnected') return;
        if (error.retryable) later(error);
        // It closes nothing, but it is of no use for the next connection either.
        else this.#forgetToken();
      },
    });
  }

  #write(frame) {
    return this.#outbox.add({ ...frame, clientId: newClientId() }, this.user);
  }

  /** An entry that came in any way: if it is one's own, it was stored, whatever became of the answer. */
  #found(room, entry) {
    if (entry.clientId !== undefined && entry.sender === this.user) this.#outbox.settle(room, entry);
  }

  #left(frame) {
    this.#rooms.get(frame.room)?.disconnected();
    this.#rooms.delete(frame.room);
    this.#line.tell('left', frame);
  }

  #newRead(room) {
    let waiting = []; // positions: those without a number, and of those with one the latest
    let sent;
    const add = (position, isNewest) => {
      if (waiting.some(({ cursor }) => cursor === position.cursor)) return;
      waiting = isNewest ? [] : waiting.filter(({ seq }) => seq === null || position.seq === null);
      waiting.push(position);
      const unknown = waiting.filter(({ seq }) => seq === null);
      if (unknown.length > MOST_READS) waiting.splice(waiting.indexOf(unknown[0]), 1);
    };
    const done = () => {
      waiting = waiting.filter((position) => position !== sent);
      if (waiting.length === 0) this.#reads.delete(room);
      else read.errand.go();
    };
    const frame = () => {
      [sent] = waiting;
      return { type: 'read', room, cursor: sent.cursor };
    };
    const read = { add, errand: new Errand(this.#line, frame, { answer: done, error: done }) };
    return read;
  }
}

/** A room that is followed: joined on every connection, its entries held to the order of the log. */
class Room {
  cursor; // of the last entry applied, or of the page begun with
  #seq = null; // its number; unknown until the first page or entry
  #read = 0; // the greatest number marked read
  #joined = false;
  #head = null; // a cursor that the server says is there
  #guard; // the wait for it
  #waits = 0;
  #limit;
  #id;
  #join;
  #left;
  #line;

  constructor(line, id, left) {
    this.#line = line;
    this.#id = id;
    this.#left = left;
    this.#guard = new Timer(line.clock);
    this.#join = new Errand(line, () => ({ type: 'join', room: id, cursor: this.cursor, limit: this.#limit }), {
      answer: (frame) => {
        this.#joined = true;
        this.#goOnFrom(frame, frame.outcome === 'reset');
        line.tell('joined', frame);
      },
      error: (error) => left({ type: 'left', room: id, reason: error.code, error }),
    });
  }

  /** @param {{cursor?: string, limit?: number}} [options] */
  follow({ cursor, limit = this.#limit } = {}) {
    this.#limit = limit;
    if (cursor !== undefined && cursor !== this.cursor) {
      this.cursor = cursor;
      this.#seq = null;
      this.#joined = false;
    } else if (this.#joined || this.#join.isUnderWay) return;
    this.#unguard();
    this.#join.rest();
    this.#join.go();
  }

  join() {
    this.#join.go();
  }

  leave() {
    // The server works in order: it leaves even where the answer to `join` is still on its way.
    if (this.#joined || this.#join.isUnderWay) this.#line.connection()?.post({ type: 'leave', room: this.#id });
    this.disconnected();
  }

  disconnected() {
    this.#unguard();
    this.#join.rest();
    this.#join.attempt = 0;
    this.#joined = false;
    this.#waits = 0;
  }

  post(frame) {
    if (this.#joined) this.#line.connection()?.post(frame);
  }

  /** The number behind a cursor, where it is known: that of the last entry applied. */
  numberOf(cursor) {
    return cursor === this.cursor ? this.#seq : null;
  }

  mayRead(seq) {
    if (seq === null) return true;
    if (seq <= this.#read) return false;
    this.#read = seq;
    return true;
  }

  onFrame(frame) {
    if (frame.type === 'entry') this.#onEntry(frame);
    else if (frame.type === 'left') this.#left(frame);
    else if (this.#joined) {
      if (frame.type === 'resync' || frame.type === 'reset') this.#goOnFrom(frame, frame.type === 'reset');
      this.#line.tell(frame.type, frame);
    }
  }

  /** Waits for the entry at `head`; every entry on the way to it renews the patience. */
  expect(head) {
    this.#unguard();
    if (head === this.cursor) {
      this.#waits = 0;
      return;
    }
    this.#head = head;
    this.#guard.set(Math.min(HEAD_PATIENCE_MS * 2 ** this.#waits, HEAD_PATIENCE_CAP_MS), () => {
      this.#waits++;
      this.#join.go();
    });
  }

  #onEntry(frame) {
    const { entry } = frame;
    // Before the answer to the first `join`, it is still on its way from an earlier life of the room.
    if (!Number.isSafeInteger(entry?.seq) || (!this.#joined && this.#seq === null)) return;
    this.#line.found(this.#id, entry);
    // Behind a cursor whose number is not known, the first entry is the next one: the server promises that.
    const next = this.#seq === null ? entry.seq : this.#seq + 1;
    if (entry.seq < next) return;
    if (entry.seq > next) {
      this.#joinAgain();
      return;
    }
    this.cursor = entry.cursor;
    this.#seq = entry.seq;
    this.#join.attempt = 0;
    this.#waits = 0;
    if (this.#head !== null) this.expect(this.#head);
    this.#line.tell('entry', { ...frame, room: this.#id });
  }

  /** Moves to the page of a `joined`, `resync` or `reset`; without one, the entries up to its cursor follow. */
  #goOnFrom({ page, cursor }, reset) {
    if (reset) this.#read = 0;
    if (!page) {
      if (this.cursor === undefined) this.cursor = cursor;
      else if (cursor !== undefined) this.expect(cursor);
      return;
    }
    this.#unguard();
    this.#seq = page.seq;
    this.cursor = page.cursor;
    for (const entry of page.entries) this.#line.found(this.#id, entry);
  }

  /** A gap: asks for everything after the cursor. Again and again only with growing pauses. */
  #joinAgain() {
    if (this.#join.isActive) return;
    this.#unguard();
    if (this.#join.attempt++ === 0) this.#join.go();
    else this.#join.goAfter(jitter(this.#join.attempt, this.#line.random));
  }

  #unguard() {
    this.#guard.clear();
    this.#head = null;
  }
}

/**
 * What was written and is not yet confirmed. One command per room is under way at a time: were two sent together and the first
 * refused as `busy`, the second would overtake it.
 */
class Outbox {
  restored; // settled once what an earlier run left is back
  #items = new Map(); // by clientId, in the order written: {frame, sender, createdAt, error, errand}; with an error it has failed
  #line;
  #storage;
  #most;
  #saved;
  #unsaved = false;

  constructor(line, storage, most) {
    this.#line = line;
    this.#storage = storage;
    this.#most = most;
    this.restored = this.#saved = this.#restore();
  }

  add(frame, sender) {
    const item = this.#item({ frame, sender, createdAt: new Date(this.#line.clock.now()).toISOString() });
    if (this.#items.size >= this.#most) {
      item.error = new ChatError({ code: 'outbox_full', message: `${this.#most} messages wait already`, retryable: false });
      queueMicrotask(() => this.#tell(item));
    } else {
      this.#enqueue(item);
    }
    return frame.clientId;
  }

  list() {
    return [...this.#items.values()].map((item) => describe(item));
  }

  retry(clientId) {
    const item = this.#items.get(clientId);
    if (!item?.error) return false;
    item.error = undefined;
    item.errand.attempt = 0;
    this.#items.delete(clientId);
    this.#enqueue(item);
    return true;
  }

  discard(clientId) {
    const item = this.#items.get(clientId);
    if (item) this.#remove(item);
    return item !== undefined;
  }

  settle(room, entry) {
    const item = this.#items.get(entry.clientId);
    if (item?.frame.room === room) this.#confirm(item, entry);
  }

  /** An error that names the message in place of the command. */
  refuse(clientId, error) {
    this.#items.get(clientId)?.errand.refuse(error);
  }

  /** What one user wrote is never sent in the name of another. */
  belongsTo(user) {
    const error = new ChatError({ code: 'other_user', message: 'the user has changed', retryable: false });
    for (const item of [...this.#items.values()]) {
      if (item.sender === undefined) item.sender = user;
      if (item.sender === user) continue;
      item.error = error;
      this.#remove(item);
      this.#tell(item);
    }
    this.#save();
  }

  flush() {
    const rooms = new Set([...this.#items.values()].map(({ frame }) => frame.room));
    for (const room of rooms) this.#pump(room);
  }

  rest() {
    for (const item of this.#items.values()) {
      item.errand.rest();
      item.accepted = false;
    }
  }

  /** A failure of what was accepted is told once. Had it been missed: what is sent again is answered again. */
  sendAcceptedAgain() {
    for (const item of this.#items.values()) item.accepted = false;
    this.flush();
  }

  /** What was accepted is not stored after all. */
  failLate({ room, clientId }, error) {
    const item = this.#items.get(clientId);
    if (item?.frame.room === room) this.#fail(item, error);
  }

  /** Gives up what is under way: the server took it for a mistake of this client. */
  failUnderWay(error) {
    for (const item of [...this.#items.values()]) if (item.errand.isUnderWay) this.#fail(item, error);
  }

  #item(item) {
    item.errand = new Errand(this.#line, () => item.frame, {
      answer: (sent) => (sent.cursor === undefined ? this.#accept(item) : this.#confirm(item, sent)),
      error: (error) => this.#fail(item, error),
    });
    return item;
  }

  #enqueue(item) {
    const { clientId, room } = item.frame;
    this.#items.set(clientId, item);
    this.#save();
    // Not at once: the caller first learns the `clientId`, and then what becomes of it.
    queueMicrotask(() => {
      if (this.#items.get(clientId) !== item) return;
      this.#tell(item);
      this.#pump(room);
    });
  }

  #pump(room) {
    const connection = this.#line.connection();
    const item = [...this.#items.values()].find(({ frame, error, accepted }) => frame.room === room && !error && !accepted);
    if (!connection || !item || item.errand.isActive) return;
    const limit = connection.hello.limits?.frameBytes;
    // The server would close the connection over it, and over it again after every reconnect.
    if (limit > 0 && new TextEncoder().encode(JSON.stringify(item.frame)).length + 32 > limit) {
      this.#fail(item, new ChatError({ code: 'frame_too_large', message: `longer than ${limit} bytes`, retryable: false }));
    } else {
      item.errand.go();
    }
  }

  #confirm(item, { id, cursor, seq, createdAt, duplicate, durability }) {
    item.error = undefined;
    this.#tell(item, { state: 'sent', position: { id, cursor, seq, createdAt, duplicate, durability } });
    this.#remove(item);
  }

  /** It has no position yet. In a room that is followed its entry will come, and says that it is stored. */
  #accept(item) {
    if (!this.#line.follows(item.frame.room)) {
      this.#tell(item, { state: 'accepted' });
      this.#remove(item);
      return;
    }
    const isNews = !item.wasAccepted;
    Object.assign(item, { accepted: true, wasAccepted: true });
    item.errand.rest();
    if (isNews) this.#tell(item);
    this.#pump(item.frame.room);
  }

  #fail(item, error) {
    item.errand.rest();
    Object.assign(item, { error, accepted: false, wasAccepted: false });
    this.#save();
    this.#tell(item);
    this.#pump(item.frame.room);
  }

  #remove(item) {
    item.errand.rest();
    this.#items.delete(item.frame.clientId);
    this.#save();
    this.#pump(item.frame.room);
  }

  #tell(item, more) {
    this.#line.tell('outbox', { ...describe(item), ...more });
  }

  async #restore() {
    try {
      const { items = [] } = JSON.parse((await this.#storage?.get()) || '{}');
      const kept = items.filter(({ frame }) => WRITES.has(frame.type)).slice(0, this.#most).map(({ error, ...item }) =>
        this.#item({ ...item, error: error && new ChatError({ ...error, retryable: false }) }));
      // It was written before anything that waits here already.
      this.#items = new Map([...kept.map((item) => [item.frame.clientId, item]), ...this.#items]);
      for (const item of kept) this.#tell(item);
    } catch (error) {
      this.#line.tell('storage', { error });
    }
  }

  /** One save after the other, and one for all changes until it begins. */
  #save() {
    if (!this.#storage || this.#unsaved) return;
    this.#unsaved = true;
    this.#saved = this.#saved.then(async () => {
      this.#unsaved = false;
      // Nobody knows whose an item without a sender is, once this run is over.
      const items = [...this.#items.values()].filter(({ sender }) => sender !== undefined);
      try {
        await this.#storage.set(JSON.stringify({ items: items.map(({ frame, sender, createdAt, error }) => ({
          frame, sender, createdAt, error: error && { code: error.code, message: error.message },
        })) }));
      } catch (error) {
        this.#line.tell('storage', { error });
      }
    });
  }
}

/** A command said again until the server has answered it for good: after errors that pass, timeouts, and breaks. */
class Errand {
  attempt = 0; // how often it was said again
  #line;
  #frame;
  #on;
  #withdraw;
  #timer;

  constructor(line, frame, on) {
    this.#line = line;
    this.#frame = frame;
    this.#on = on;
    this.#timer = new Timer(line.clock);
  }

  /** Whether its answer is awaited. */
  get isUnderWay() {
    return this.#withdraw !== undefined;
  }

  /** The same, or it waits to be said again. */
  get isActive() {
    return this.isUnderWay || this.#timer.isSet;
  }

  /** Says it, if there is a connection. After a break, it has to be said again with this. */
  go() {
    const connection = this.#line.connection();
    if (!connection || this.isActive) return;
    this.#withdraw = connection.command(this.#frame(), {
      answer: (frame) => {
        this.#withdraw = undefined;
        this.#on.answer(frame);
      },
      error: (error) => this.#failed(error),
    });
  }

  goAfter(delay) {
    this.#timer.set(delay, () => this.go());
  }

  /** Takes an error for the answer. */
  refuse(error) {
    if (!this.isUnderWay) return;
    this.#withdraw();
    this.#failed(error);
  }

  /** Waits for nothing any more. */
  rest() {
    this.#withdraw?.();
    this.#withdraw = undefined;
    this.#timer.clear();
  }

  #failed(error) {
    this.#withdraw = undefined;
    if (error.code === 'disconnected') return;
    if (NEEDS_TOKEN.has(error.code) || error.code === 'not_connected') this.#line.refused(error);
    else if (error.retryable) this.goAfter(error.retryAfterMs ?? jitter(this.attempt++, this.#line.random));
    else this.#on.error(error);
  }
}

/** One WebSocket from opening to its end: the first frame, commands with their answers, liveness, closing. */
class Connection {
  hello; // what the server said in `connected`; undefined until then
  #clock;
  #on;
  #socket;
  #nextId = 1;
  #commands = new Map();
  #silence;
  #ended = false;

  /** `on`: `connected(frame)`, `frame(frame)` for events, `end({code, message, retryAfterMs})` once. */
  constructor(clock, { url, WebSocket }, token, on) {
    this.#clock = clock;
    this.#on = on;
    this.#silence = new Timer(clock);
    this.#socket = new WebSocket(url, ['chat.v1']);
    this.#socket.onopen = () => {
      // A close with its code follows; and without a listener some runtimes take an error for a crash.
      this.#socket.onerror = () => {};
      this.command({ type: 'connect', token }, {
        answer: (frame) => {
          this.hello = frame;
          this.#listen();
          on.connected(frame);
        },
        error: (error) => this.end(error),
      });
    };
    // The WebSocket of Node.js 22 never says close where it never said open.
    this.#socket.onerror = () => this.end({ code: 'disconnected' });
    this.#socket.onmessage = ({ data }) => this.#onMessage(data);
    this.#socket.onclose = ({ code }) => this.end({ code: CODE_OF_CLOSE[code] ?? 'disconnected' });
    this.#silence.set(CONNECT_TIMEOUT_MS, () => this.end({ code: 'connect_timeout' }));
  }

  /** Sends without asking for an answer. */
  post(frame) {
    if (!this.#ended && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  /** Sends and calls `answer(frame)` or `error(ChatError)`, once, unless the returned function withdraws it. */
  command(frame, { answer, error }) {
    const id = this.#nextId++;
    const timer = new Timer(this.#clock);
    timer.set(ANSWER_TIMEOUT_MS, () => {
      this.#commands.delete(id);
      error(new ChatError({ code: 'timeout', message: `no answer to ${frame.type}` }));
    });
    this.#commands.set(id, { answer, error, timer });
    this.post({ ...frame, id });
    return () => this.#take(id);
  }

  /** Ends it from this side, or on a sign that the other side is gone. Without a reason, its owner hears no more of it. */
  end(reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.#silence.clear();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close(1000);
    } catch {
      // Already closed, or never open: either way it is no longer ours.
    }
    const open = [...this.#commands.keys()].map((id) => this.#take(id));
    if (reason) this.#on.end(reason);
    for (const { error } of open) error(new ChatError({ code: 'disconnected', message: 'the connection was lost' }));
  }

  #take(id) {
    const command = this.#commands.get(id);
    command?.timer.clear();
    this.#commands.delete(id);
    return command;
  }

  #listen() {
    const seconds = this.hello.heartbeat > 0 ? this.hello.heartbeat : HEARTBEAT_SECONDS;
    this.#silence.set(2 * seconds * 1000, () => this.end({ code: 'silent' }));
  }

  #onMessage(data) {
    if (this.hello) this.#listen();
    const frame = parse(data);
    if (frame?.type === 'closing') {
      this.end(new ChatError({ ...frame, retryAfterMs: frame.reconnectAfterMs }));
    } else if (frame?.reply !== undefined) {
      const command = this.#take(frame.reply);
      if (frame.type === 'error') command?.error(new ChatError(frame));
      else command?.answer(frame);
    } else if (frame) {
      this.#on.frame(frame);
    }
  }
}

/** One timer that can be set again. */
class Timer {
  #clock;
  #id;

  constructor(clock) {
    this.#clock = clock;
  }

  get isSet() {
    return this.#id !== undefined;
  }

  set(delay, callback) {
    this.clear();
    this.#id = this.#clock.setTimeout(() => {
      this.#id = undefined;
      callback();
    }, delay);
  }

  clear() {
    if (this.isSet) this.#clock.clearTimeout(this.#id);
    this.#id = undefined;
  }
}

/** Full jitter: a random time in [0, min(30 s, 0.5 s · 2^attempt)). */
export function jitter(attempt, random = Math.random) {
  // The exponent is capped too: 2^1100 is Infinity, and 0 · Infinity is not a time to wait.
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** Math.min(attempt, 16));
}

function describe({ frame, createdAt, error, wasAccepted }) {
  const waiting = wasAccepted ? 'accepted' : 'sending';
  return { ...frame, createdAt, state: error ? 'failed' : waiting, error };
}

function parse(data) {
  try {
    const frame = typeof data === 'string' ? JSON.parse(data) : null;
    return typeof frame?.type === 'string' ? frame : null;
  } catch {
    return null;
  }
}

/** 128 bits of chance. Not `randomUUID`: browsers offer it on secure pages only. */
function newClientId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
