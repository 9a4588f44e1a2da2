// A scripted server end of a WebSocket and a clock that moves only when told.

import { ChatClient } from '../chat-client.js';

export class FakeTimers {
  time = 0;
  #next = 1;
  #timers = new Map();
  now = () => this.time;
  setTimeout = (callback, delay) => {
    this.#timers.set(this.#next, { at: this.time + Math.max(0, delay), callback });
    return this.#next++;
  };
  clearTimeout = (id) => this.#timers.delete(id);

  get open() {
    return this.#timers.size;
  }

  async advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = due[1].at;
      due[1].callback();
    }
    this.time = end;
    await settled();
  }
}

/** Lets promises and microtasks run. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

export function setup({ random = () => 0.5, token, heartbeat = 25, hello = {}, ...options } = {}) {
  const timers = new FakeTimers();
  const sockets = [];
  const events = [];
  const tokens = [];
  class FakeWebSocket {
    readyState = 0;
    sent = [];
    constructor(url, protocols) {
      if (url === 'not a url') throw new SyntaxError('not a url');
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }
    send(text) {
      if (this.readyState !== 1) throw new Error('not open');
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.readyState = 3;
    }
    open() {
      this.readyState = 1;
      this.onopen?.({});
    }
    say(frame) {
      this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
    }
    cut(code = 1006) {
      this.readyState = 3;
      this.onclose?.({ code });
    }
  }
  const client = new ChatClient({
    url: 'ws://host/chat/ws',
    token: async (how) => {
      tokens.push(how);
      return token ? token(tokens.length) : `token-${tokens.length}`;
    },
    WebSocket: FakeWebSocket,
    random,
    clock: timers,
    ...options,
  });
  const types = ['state', 'joined', 'entry', 'resync', 'reset', 'left', 'typing', 'signal', 'read', 'presence', 'room', 'member', 'noticesLost', 'outbox', 'storage'];
  for (const type of types) client.addEventListener(type, ({ detail }) => events.push({ type, ...detail, event: type }));
  const chat = {
    client,
    timers,
    sockets,
    tokens,
    events,
    get socket() {
      return sockets.at(-1);
    },
    of: (type) => events.filter(({ event }) => event === type),
    sent: (type) => chat.socket.sent.filter((frame) => frame.type === type),
    last: (type) => chat.sent(type).at(-1),
    answer: (frame, more) => chat.socket.say({ reply: frame.id, ...more }),
    welcome: async (more = {}) => {
      await settled();
      chat.socket.open();
      chat.answer(chat.last('connect'), { type: 'connected', user: 'ann', connection: 'c', heartbeat, limits: { frameBytes: 65536, rooms: 100, replay: 1000 }, ...hello, ...more });
      await settled();
    },
    connect: async (more) => {
      client.start();
      await chat.welcome(more);
    },
    /** Connected, and in a room whose last applied entry is `seq`. */
    inRoom: async (seq = 10) => {
      await chat.connect();
      client.join('general');
      chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(seq - 1), page: page([], seq - 1) });
      chat.say(seq);
      events.length = 0;
    },
    say: (seq, more) => chat.socket.say({ type: 'entry', entry: entry(seq, more) }),
    recovered: (head) => chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'recovered', cursor: cursor(head) }),
    seqs: () => chat.of('entry').map((event) => event.entry.seq),
    fail: (frame, code, more = {}) => chat.answer(frame, { type: 'error', code, message: code, retryable: false, ...more }),
    confirm: (frame, seq, more) => chat.answer(frame, { type: 'sent', clientId: frame.clientId, id: `m${seq}`, cursor: cursor(seq), seq, createdAt: 't', duplicate: false, durability: 'persisted', ...more }),
    states: (clientId) => chat.of('outbox').filter((event) => event.clientId === clientId).map(({ state }) => state),
  };
  return chat;
}

export const cursor = (seq) => `E.${seq}`;
export const entry = (seq, more = {}) => ({ room: 'general', cursor: cursor(seq), seq, id: `m${seq}`, sender: 'bob', clientId: `b${seq}`, createdAt: 't', kind: 'chat', text: `text ${seq}`, ...more });
export const page = (seqs, head, more = {}) => ({ entries: seqs.map((seq) => entry(seq)), reachesStart: false, reachesHead: true, cursor: cursor(head), seq: head, ...more });
