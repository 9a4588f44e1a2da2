// One WebSocket from opening to its end: the first frame, commands with their answers, liveness, closing.

import { ChatError, closeReason } from './backoff.js';

const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const DEFAULT_HEARTBEAT_SECONDS = 25;

export class Connection {
  /** What the server said in `connected`; undefined until then. */
  hello;
  #environment;
  #on;
  #socket;
  #nextId = 1;
  #commands = new Map();
  #silence;
  #ended = false;

  /** `on`: `connected(frame)`, `frame(frame)` for events, `end({code, message, retryAfterMs})`, once. */
  constructor(environment, token, on) {
    this.#environment = environment;
    this.#on = on;
    try {
      this.#socket = new environment.WebSocket(environment.url, ['chat.v1']);
    } catch (error) {
      throw new ChatError({ code: 'invalid_url', message: error.message });
    }
    this.#socket.onopen = () => this.command({ type: 'connect', token }, {
      answer: (frame) => this.#connected(frame),
      error: (error) => this.end(error),
    });
    this.#socket.onmessage = (event) => this.#heard(event.data);
    this.#socket.onclose = (event) => this.end({ code: closeReason(event?.code) });
    // A close follows every error; without this, some runtimes take an unheard error for a crash.
    this.#socket.onerror = () => {};
    this.#listenFor(CONNECT_TIMEOUT_MS, 'connect_timeout');
  }

  /** Sends without asking for an answer. */
  post(frame) {
    if (!this.#ended && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  /** Sends and calls `answer(frame)` or `error(ChatError)`, exactly once, unless the returned function cancels it. */
  command(frame, { answer, error }) {
    const id = this.#nextId++;
    const timer = this.#environment.setTimeout(() => {
      this.#commands.delete(id);
      error(new ChatError({ code: 'timeout', message: `no answer to ${frame.type}` }));
    }, REQUEST_TIMEOUT_MS);
    this.#commands.set(id, { answer, error, timer });
    this.post({ ...frame, id });
    return () => this.#take(id);
  }

  /** Ends it from this side, or on a sign that the other side is gone. */
  end({ code, message, retryAfterMs }) {
    this.#end(() => this.#on.end({ code, message, retryAfterMs }));
  }

  /** Ends it for an owner who has done with it and wants to hear no more. */
  release() {
    this.#end(() => {});
  }

  #end(report) {
    if (this.#ended) return;
    this.#ended = true;
    this.#environment.clearTimeout(this.#silence);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close(1000);
    } catch {
      // Already closed, or never open: either way it is no longer ours.
    }
    const open = [...this.#commands.keys()].map((id) => this.#take(id));
    report();
    for (const { error } of open) error(new ChatError({ code: 'disconnected', message: 'the connection was lost' }));
  }

  #take(id) {
    const command = this.#commands.get(id);
    if (command) this.#environment.clearTimeout(command.timer);
    this.#commands.delete(id);
    return command;
  }

  #connected(frame) {
    this.hello = frame;
    this.#listenFor(this.#silenceMs(), 'silent');
    this.#on.connected(frame);
  }

  #silenceMs() {
    const heartbeat = this.hello.heartbeat > 0 ? this.hello.heartbeat : DEFAULT_HEARTBEAT_SECONDS;
    return 2 * heartbeat * 1000;
  }

  #listenFor(milliseconds, code) {
    this.#environment.clearTimeout(this.#silence);
    this.#silence = this.#environment.setTimeout(() => this.end({ code }), milliseconds);
  }

  #heard(data) {
    if (this.#ended) return;
    if (this.hello) this.#listenFor(this.#silenceMs(), 'silent');
    const frame = parse(data);
    if (!frame) return;
    if (frame.type === 'closing') {
      this.end({ code: frame.code, message: frame.message, retryAfterMs: frame.reconnectAfterMs });
    } else if (frame.reply !== undefined) {
      const command = this.#take(frame.reply);
      if (frame.type === 'error') command?.error(new ChatError(frame));
      else command?.answer(frame);
    } else {
      this.#on.frame(frame);
    }
  }
}

function parse(data) {
  try {
    const frame = typeof data === 'string' ? JSON.parse(data) : null;
    return typeof frame === 'object' && typeof frame?.type === 'string' ? frame : null;
  } catch {
    return null;
  }
}
