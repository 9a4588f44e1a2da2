// The reference client of the chat protocol, version 1: connecting, following rooms, sending, all over again after a break.

import { ChatError, jitter, mayReconnect, needsToken, retryDelay, validDelay } from './backoff.js';
import { Connection } from './connection.js';
import { Outbox } from './outbox.js';
import { Rooms } from './rooms.js';

/** A connection that lived this long was a good one: the next wait starts small again. */
const STABLE_MS = 5_000;
/** Events that are handed on as they are. */
const PASSED_ON = new Set(['read', 'presence', 'room', 'member', 'noticesLost']);

export { ChatError };

export class ChatClient extends EventTarget {
  /** The user's id, once the server has said it. */
  user;
  /** `connecting`, `connected`, `waiting` or `stopped`. */
  state = 'stopped';
  #environment;
  #fetchToken;
  #token;
  #expiresAt;
  /** Whether the server would not have the last token: the next must be a new one. */
  #refused = false;
  #connection;
  #rooms;
  #outbox;
  #reads = new Map();
  #attempt = 0;
  /** Grows with every start and end, so that a token that comes late finds itself unwanted. */
  #era = 0;
  #timers = new Map();

  /** `token({fresh})` promises a token; `fresh` says that the last one was refused or is about to expire. */
  constructor({ url, token, WebSocket = globalThis.WebSocket, random = Math.random, now = Date.now, setTimeout, clearTimeout }) {
    super();
    this.#fetchToken = token;
    this.#environment = {
      url,
      WebSocket,
      random,
      now,
      // Browsers refuse to run their own timers as methods of another object.
      setTimeout: (callback, delay) => (setTimeout ?? globalThis.setTimeout)(callback, delay),
      clearTimeout: (timer) => (clearTimeout ?? globalThis.clearTimeout)(timer),
    };
    const connection = () => (this.state === 'connected' ? this.#connection : undefined);
    const tell = (type, detail) => this.#tell(type, detail);
    const refused = (error) => this.#connection?.end(error);
    const stored = (room, entry) => this.#stored(room, entry);
    this.#rooms = new Rooms(this.#environment, { connection, tell, stored, refused });
    this.#outbox = new Outbox(this.#environment, { connection, changed: (detail) => tell('outbox', detail), refused });
  }

  /** Connects; while waiting for the next try, tries at once. */
  start() {
    if (this.state === 'connecting' || this.state === 'connected') return;
    if (this.state === 'stopped') this.#attempt = 0;
    this.#connect();
  }

  /** Disconnects and stays so. Rooms, positions and unsent messages are kept for the next `start`. */
  stop() {
    this.#token = undefined;
    this.#halt('stopped by the application');
  }

  join(room, options = {}) {
    this.#rooms.join(room, options);
  }

  leave(room) {
    this.#rooms.leave(room);
  }

  /** The cursor of the last entry applied in the room: what to keep to go on from after a restart. */
  cursor(room) {
    return this.#rooms.cursor(room);
  }

  send(room, { text, json, name }) {
    return this.#write({ type: 'send', room, text, json, name });
  }

  edit(room, target, { text, json }) {
    return this.#write({ type: 'edit', room, target, text, json });
  }

  delete(room, target) {
    return this.#write({ type: 'delete', room, target });
  }

  /** `op`: `add` or `remove`. */
  react(room, target, key, op = 'add') {
    return this.#write({ type: 'react', room, target, key, op });
  }

  retry(clientId) {
    return this.#outbox.retry(clientId);
  }

  discard(clientId) {
    return this.#outbox.discard(clientId);
  }

  /** Worth something only now: dropped where the room is not joined at this moment. */
  typing(room, active = true) {
    if (this.#rooms.isJoined(room)) this.#connection.post({ type: 'typing', room, active });
  }

  /** As `typing`, with any content. */
  signal(room, name, data) {
    if (this.#rooms.isJoined(room)) this.#connection.post({ type: 'signal', room, name, data });
  }

  /** Marks the room read; kept until the server has it. Only the newest position of a room counts. */
  read(room, cursor) {
    this.#reads.set(room, cursor);
    this.#sendRead(room);
  }

  /** Asks for `history`, `rooms`, `members` or `presence`; rejects with a ChatError. */
  request(type, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.state !== 'connected') {
        reject(new ChatError({ code: 'disconnected', message: 'there is no connection now' }));
        return;
      }
      const answer = (frame) => {
        for (const entry of frame.page?.entries ?? []) this.#stored(entry.room ?? fields.room, entry);
        resolve(frame);
      };
      this.#connection.command({ ...fields, type }, { answer, error: reject });
    });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #setState(state, more = {}) {
    this.state = state;
    this.#tell('state', { state, ...more });
  }

  #write(frame) {
    const clientId = newClientId();
    this.#outbox.add({ ...frame, clientId });
    return clientId;
  }

  #stored(room, entry) {
    if (entry.clientId !== undefined && entry.sender === this.user) this.#outbox.settle(room, entry);
  }

  async #connect() {
    const era = ++this.#era;
    this.#clearTimers();
    this.#setState('connecting');
    // A wrong clock costs a needless token at most: it is the server who judges.
    if (Date.parse(this.#expiresAt) <= this.#environment.now()) this.#token = undefined;
    try {
      this.#token ??= await this.#fetchToken({ fresh: this.#refused });
    } catch (error) {
      if (era === this.#era) this.#wait({ code: 'token_unavailable', message: error?.message });
      return;
    }
    if (era !== this.#era) return;
    try {
      this.#connection = new Connection(this.#environment, this.#token, {
        connected: (hello) => this.#onConnected(hello),
        frame: (frame) => this.#onFrame(frame),
        end: (end) => this.#onEnd(end),
      });
    } catch (error) {
      this.#halt(error.code, error.message);
    }
  }

  #onConnected(hello) {
    const { user, connection, limits } = hello;
    this.#expiresAt = hello.expiresAt;
    this.#refused = false;
    if (this.user !== undefined && this.user !== user) {
      // What one user wrote is never sent in the name of another.
      this.#outbox.failAll(new ChatError({ code: 'other_user', message: 'the user has changed', retryable: false }));
      this.#reads.clear();
    }
    this.user = user;
    this.#after('stable', STABLE_MS, () => (this.#attempt = 0));
    this.#setState('connected', { user, connection, limits });
    if (this.#connection?.hello !== hello) return;
    this.#rooms.joinAll();
    this.#outbox.flush();
    for (const room of this.#reads.keys()) this.#sendRead(room);
  }

  #onFrame(frame) {
    if (PASSED_ON.has(frame.type)) this.#tell(frame.type, frame);
    else if (frame.type === 'expiring') this.#renewToken(this.#connection, 0);
    else if (frame.type === 'error' && frame.clientId) this.#outbox.refuse(frame.clientId, new ChatError(frame));
    else this.#rooms.onFrame(frame);
  }

  #onEnd({ code, message, retryAfterMs }) {
    this.#era++;
    this.#connection = undefined;
    this.#rooms.disconnected();
    if (needsToken(code)) {
      this.#token = undefined;
      this.#refused = true;
    }
    if (mayReconnect(code)) {
      this.#wait({ code, message, retryAfterMs });
    } else {
      const error = new ChatError({ code, message, retryable: false });
      if (code !== 'replaced') this.#outbox.failUnderWay(error);
      this.#halt(code, message);
    }
  }

  #wait({ code, message, retryAfterMs }) {
    this.#clearTimers();
    // On top of the server's time comes a share of chance, lest all its clients come back as one.
    const retryInMs = (validDelay(retryAfterMs) ?? 0) + jitter(this.#attempt++, this.#environment.random);
    this.#after('reconnect', retryInMs, () => this.#connect());
    this.#setState('waiting', { retryInMs, reason: code, message });
  }

  #halt(reason, message) {
    if (this.state === 'stopped') return;
    this.#era++;
    this.#clearTimers();
    this.#outbox.pause();
    this.state = 'stopped';
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.release();
    this.#rooms.disconnected();
    this.#tell('state', { state: 'stopped', reason, message });
  }

  async #renewToken(connection, attempt) {
    try {
      const token = await this.#fetchToken({ fresh: true });
      if (connection !== this.#connection) return;
      this.#token = token;
    } catch (error) {
      if (connection === this.#connection) this.#renewLater(connection, attempt, error);
      return;
    }
    connection.command({ type: 'token', token: this.#token }, {
      answer: ({ expiresAt }) => (this.#expiresAt = expiresAt),
      error: (error) => {
        if (error.retryable && connection === this.#connection) this.#renewLater(connection, attempt, error);
        // A token the server will not have is of no use for the next connection either.
        else if (error.code !== 'disconnected') this.#token = undefined;
      },
    });
  }

  #renewLater(connection, attempt, error) {
    const wait = retryDelay(error, attempt, this.#environment.random);
    this.#after('token', wait, () => this.#renewToken(connection, attempt + 1));
  }

  #sendRead(room, attempt = 0) {
    if (this.state !== 'connected') return;
    const cursor = this.#reads.get(room);
    const done = () => this.#reads.get(room) === cursor && this.#reads.delete(room);
    this.#connection.command({ type: 'read', room, cursor }, {
      answer: done,
      error: (error) => {
        if (error.code === 'disconnected' || this.#reads.get(room) !== cursor) return;
        if (!error.retryable) done();
        else this.#after(`read ${room}`, retryDelay(error, attempt, this.#environment.random), () => this.#sendRead(room, attempt + 1));
      },
    });
  }

  #after(name, delay, callback) {
    this.#environment.clearTimeout(this.#timers.get(name));
    this.#timers.set(name, this.#environment.setTimeout(() => {
      this.#timers.delete(name);
      callback();
    }, delay));
  }

  #clearTimers() {
    for (const timer of this.#timers.values()) this.#environment.clearTimeout(timer);
    this.#timers.clear();
  }
}

/** 128 bits of chance. Not `randomUUID`: browsers offer it on secure pages only. */
function newClientId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
