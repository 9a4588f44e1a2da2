// The rooms a client follows: joining them on every connection, and holding their entries to the order of the log.

import { needsToken, retryDelay } from './backoff.js';
import { Position } from './position.js';

/** How long the entry behind an announced head may take. */
const HEAD_PATIENCE_MS = 3_000;
const MAX_HEAD_PATIENCE_MS = 30_000;

export class Rooms {
  #rooms = new Map();
  #environment;
  #line;

  /** `line`: `connection()`, `tell(type, detail)`, `stored(room, entry)`, `refused(error)` about the session. */
  constructor(environment, line) {
    this.#environment = environment;
    this.#line = line;
  }

  join(id, { cursor, limit } = {}) {
    let room = this.#rooms.get(id);
    if (!room) {
      room = { id, limit, position: new Position(cursor), joined: false, cancel: null, retry: null, tries: 0, head: null, guard: null, waits: 0 };
      this.#rooms.set(id, room);
    } else {
      room.limit = limit ?? room.limit;
      if (cursor !== undefined && cursor !== room.position.cursor) room.position = new Position(cursor);
      else if (room.cancel) return;
    }
    this.#rest(room);
    this.#sendJoin(room);
  }

  leave(id) {
    const room = this.#rooms.get(id);
    if (!room) return;
    // The server works in order: it leaves even where the answer to `join` is still on its way.
    if (room.joined || room.cancel) this.#line.connection()?.post({ type: 'leave', room: id });
    this.#forget(room);
  }

  cursor(id) {
    return this.#rooms.get(id)?.position.cursor;
  }

  isJoined(id) {
    return this.#line.connection() !== undefined && this.#rooms.get(id)?.joined === true;
  }

  /** To be called on every new connection. */
  joinAll() {
    for (const room of [...this.#rooms.values()]) if (!room.cancel) this.#sendJoin(room);
  }

  disconnected() {
    for (const room of this.#rooms.values()) {
      this.#rest(room);
      room.joined = false;
      room.tries = 0;
      room.waits = 0;
    }
  }

  onFrame(frame) {
    if (frame.type === 'heads') {
      for (const [id, cursor] of Object.entries(frame.heads ?? {})) {
        const room = this.#rooms.get(id);
        if (room?.joined) this.#expect(room, cursor);
      }
      return;
    }
    const room = this.#rooms.get(frame.entry?.room ?? frame.room);
    // What is still on its way from a room that was left, or not yet joined, is of no interest.
    if (!room || !(room.joined || room.cancel)) return;
    if (frame.type === 'entry') this.#onEntry(room, frame);
    else if (frame.type === 'left') this.#onLeft(room, frame);
    else if (!room.joined) return;
    else if (frame.type === 'typing' || frame.type === 'signal') this.#line.tell(frame.type, frame);
    else if (frame.type === 'resync' || frame.type === 'reset') {
      this.#goOnFrom(room, frame, frame.type === 'reset');
      this.#line.tell(frame.type, frame);
    }
  }

  #onEntry(room, frame) {
    const { entry } = frame;
    if (!Number.isSafeInteger(entry.seq) || (!room.joined && room.position.seq === null)) return;
    this.#line.stored(room.id, entry);
    const verdict = room.position.judge(entry);
    if (verdict === 'gap') {
      if (room.joined) this.#rejoin(room);
    } else if (verdict === 'apply') {
      room.position.moveTo(entry);
      room.tries = 0;
      room.waits = 0;
      if (room.head !== null) this.#expect(room, room.head);
      this.#line.tell('entry', { ...frame, room: room.id });
    }
  }

  #onLeft(room, frame) {
    this.#forget(room);
    this.#line.tell('left', frame);
  }

  #sendJoin(room) {
    const connection = this.#line.connection();
    if (!connection) return;
    const { id, limit, position } = room;
    room.joined = room.joined && position.seq !== null;
    room.cancel = connection.command({ type: 'join', room: id, cursor: position.cursor, limit }, {
      answer: (frame) => {
        room.cancel = null;
        room.joined = true;
        this.#goOnFrom(room, frame, frame.outcome === 'reset');
        this.#line.tell('joined', frame);
      },
      error: (error) => this.#onJoinError(room, error),
    });
  }

  #onJoinError(room, error) {
    room.cancel = null;
    if (error.code === 'disconnected') return;
    if (needsToken(error.code) || error.code === 'not_connected') {
      this.#line.refused(error);
    } else if (error.retryable) {
      this.#joinAfter(room, retryDelay(error, room.tries++, this.#environment.random));
    } else {
      this.#onLeft(room, { type: 'left', room: room.id, reason: error.code, error });
    }
  }

  /** Moves to the page of a `joined`, `resync` or `reset`; without one, the entries up to its cursor follow. */
  #goOnFrom(room, { page, cursor }, reset) {
    if (page) {
      this.#unguard(room);
      room.position.moveToPage(page, cursor, { reset });
      for (const entry of page.entries ?? []) this.#line.stored(room.id, entry);
    } else if (room.position.cursor === undefined) {
      room.position.moveToPage(undefined, cursor);
    } else if (cursor !== undefined) {
      this.#expect(room, cursor);
    }
  }

  /** Something is wrong: asks for everything after the cursor. Again and again only with growing pauses. */
  #rejoin(room) {
    if (room.cancel || room.retry !== null) return;
    this.#unguard(room);
    if (room.tries++ === 0) this.#sendJoin(room);
    else this.#joinAfter(room, retryDelay(undefined, room.tries, this.#environment.random));
  }

  #joinAfter(room, delay) {
    room.retry = this.#environment.setTimeout(() => {
      room.retry = null;
      this.#sendJoin(room);
    }, delay);
  }

  /** Waits for the entry at `head`; every entry on the way to it renews the patience. */
  #expect(room, head) {
    this.#unguard(room);
    if (head === room.position.cursor) {
      room.waits = 0;
      return;
    }
    room.head = head;
    const patience = Math.min(HEAD_PATIENCE_MS * 2 ** Math.min(room.waits, 10), MAX_HEAD_PATIENCE_MS);
    room.guard = this.#environment.setTimeout(() => {
      room.guard = null;
      room.waits++;
      if (!room.cancel && room.retry === null) this.#sendJoin(room);
    }, patience);
  }

  #unguard(room) {
    if (room.guard !== null) this.#environment.clearTimeout(room.guard);
    room.guard = null;
    room.head = null;
  }

  #rest(room) {
    this.#unguard(room);
    room.cancel?.();
    room.cancel = null;
    if (room.retry !== null) this.#environment.clearTimeout(room.retry);
    room.retry = null;
  }

  #forget(room) {
    this.#rest(room);
    room.joined = false;
    this.#rooms.delete(room.id);
  }
}
