// What the user has written and the server has not yet confirmed.
//
// One command per room is under way at a time: were two sent together and the first refused as `busy`,
// the second would overtake it. A command keeps its `clientId` for ever, so sending it again is harmless.

import { ChatError, needsToken, retryDelay } from './backoff.js';

const MAX_ITEMS = 1000;

export class Outbox {
  #queues = new Map();
  #failed = new Map();
  #environment;
  #line;

  /**
   * `line`: `connection()` (undefined while there is none), `changed(detail)`, and `refused(error)` for an error
   * that is about the session and not about the message.
   */
  constructor(environment, line) {
    this.#environment = environment;
    this.#line = line;
  }

  add(frame) {
    const item = { frame, attempt: 0, cancel: null, timer: null };
    if (this.size >= MAX_ITEMS) {
      const error = new ChatError({ code: 'outbox_full', message: `${MAX_ITEMS} messages wait already`, retryable: false });
      queueMicrotask(() => this.#tell(item, 'failed', { error }));
    } else {
      this.#enqueue(item);
    }
  }

  get size() {
    let size = this.#failed.size;
    for (const queue of this.#queues.values()) size += queue.length;
    return size;
  }

  /** Sends a failed command again, behind what waits in its room. */
  retry(clientId) {
    const item = this.#failed.get(clientId);
    if (!item) return false;
    this.#failed.delete(clientId);
    item.attempt = 0;
    this.#enqueue(item);
    return true;
  }

  /** Forgets a command. One that is under way may have been stored all the same. */
  discard(clientId) {
    if (this.#failed.delete(clientId)) return true;
    const item = this.#find(clientId);
    if (item) this.#remove(item);
    return item !== undefined;
  }

  /** An entry of this user, from the log or from a page: it was stored, whatever became of the answer. */
  settle(room, entry) {
    const item = this.#failed.get(entry.clientId) ?? this.#find(entry.clientId);
    if (item?.frame.room === room) this.#confirm(item, entry);
  }

  /** An error that names the message in place of the command. */
  refuse(clientId, error) {
    const item = this.#find(clientId);
    if (!item?.cancel) return;
    item.cancel();
    this.#onError(item, error);
  }

  /** To be called on every new connection. */
  flush() {
    for (const room of [...this.#queues.keys()]) this.#pump(room);
  }

  /** Stops the timers; `flush` goes on from here. */
  pause() {
    for (const [item] of this.#queues.values()) this.#rest(item);
  }

  /** Gives everything up, as after a change of the user. */
  failAll(error) {
    for (const queue of [...this.#queues.values()]) for (const item of [...queue]) this.#fail(item, error, false);
  }

  /** Gives up what is under way: the server took it for a mistake of this client. */
  failUnderWay(error) {
    for (const [item] of [...this.#queues.values()]) if (item.cancel) this.#fail(item, error, false);
  }

  #enqueue(item) {
    const { room, clientId } = item.frame;
    if (!this.#queues.has(room)) this.#queues.set(room, []);
    this.#queues.get(room).push(item);
    // Not at once: the caller first learns the `clientId`, and then what becomes of it.
    queueMicrotask(() => {
      if (this.#find(clientId) !== item) return;
      this.#tell(item, 'sending');
      this.#pump(room);
    });
  }

  #pump(room) {
    const connection = this.#line.connection();
    const item = this.#queues.get(room)?.[0];
    if (!connection || !item || item.cancel || item.timer !== null) return;
    const limit = connection.hello.limits?.frameBytes;
    // The server would close the connection over it, and over it again after every reconnect.
    if (limit > 0 && new TextEncoder().encode(JSON.stringify(item.frame)).length + 32 > limit) {
      this.#fail(item, new ChatError({ code: 'frame_too_large', message: `longer than ${limit} bytes`, retryable: false }));
      return;
    }
    item.cancel = connection.command(item.frame, {
      answer: (sent) => this.#confirm(item, sent),
      error: (error) => this.#onError(item, error),
    });
  }

  #onError(item, error) {
    item.cancel = null;
    if (error.code === 'disconnected') return;
    if (needsToken(error.code) || error.code === 'not_connected') {
      this.#line.refused(error);
    } else if (error.retryable) {
      const wait = retryDelay(error, item.attempt++, this.#environment.random);
      item.timer = this.#environment.setTimeout(() => {
        item.timer = null;
        this.#pump(item.frame.room);
      }, wait);
    } else {
      this.#fail(item, error);
    }
  }

  #confirm(item, { id, cursor, seq, createdAt, duplicate, durability }) {
    this.#failed.delete(item.frame.clientId);
    this.#tell(item, 'sent', { position: { id, cursor, seq, createdAt, duplicate, durability } });
    this.#remove(item);
  }

  #fail(item, error, goOn = true) {
    this.#failed.set(item.frame.clientId, item);
    this.#remove(item, goOn);
    this.#tell(item, 'failed', { error });
  }

  #remove(item, goOn = true) {
    this.#rest(item);
    const { room } = item.frame;
    const queue = this.#queues.get(room)?.filter((other) => other !== item) ?? [];
    if (queue.length > 0) this.#queues.set(room, queue);
    else this.#queues.delete(room);
    if (goOn) this.#pump(room);
  }

  #rest(item) {
    item.cancel?.();
    item.cancel = null;
    if (item.timer !== null) this.#environment.clearTimeout(item.timer);
    item.timer = null;
  }

  #find(clientId) {
    for (const queue of this.#queues.values()) {
      const item = queue.find((other) => other.frame.clientId === clientId);
      if (item) return item;
    }
    return undefined;
  }

  #tell({ frame: { clientId, room, type } }, state, more) {
    this.#line.changed({ clientId, room, type, state, ...more });
  }
}
