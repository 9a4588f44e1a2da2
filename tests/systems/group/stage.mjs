// Gateways and workers of one group chat, on a database and topics of its own, and clients of it.

import { connect } from 'node:net';
import { io } from 'socket.io-client';
import { SECRET, Server, database, event, jwt, request, unique, variable, within } from '../server.mjs';

const GATEWAY = 'example-axum-group';
const WORKER = 'example-axum-group-worker';

export const PASSWORD = 'correct horse battery';

export class Stage {
  /** Everything but the programs. */
  static async set(env = {}) {
    const stage = new Stage();
    stage.database = await database();
    stage.running = new Set();
    stage.sockets = new Set();
    const prefix = unique('group');
    stage.env = {
      DATABASE_URL: stage.database.url,
      REDIS_URL: variable('CHAT_TEST_REDIS_URL'),
      REDIS_PREFIX: prefix,
      KAFKA_BROKERS: variable('CHAT_TEST_KAFKA_URL'),
      KAFKA_TOPIC_PREFIX: `${prefix}.`,
      KAFKA_PARTITIONS: '4',
      JWT_SECRET: SECRET,
      LISTEN: '127.0.0.1:0',
      RATE_LIMITS: 'off',
      DRAIN_WINDOW: '100ms',
      ...env,
    };
    return stage;
  }

  async gateway(env = {}) {
    return this.#started(await Server.start(GATEWAY, { env: { ...this.env, ...env } }));
  }

  /** Waits until it has a share of the partitions. */
  async worker(env = {}) {
    return this.#started(await Server.start(WORKER, { env: { ...this.env, ...env }, ready: /^working: ([1-9]\d*) partitions/ }));
  }

  #started(server) {
    this.running.add(server);
    return server;
  }

  /** Somebody who is registered at this gateway, logged in: `id`, `token`, `call(method, path, body)`. */
  async person(gateway, name = unique('ann')) {
    const email = `${name}@example.com`;
    const made = await request('POST', `${gateway.url}/auth/register`, { body: { email, password: PASSWORD } });
    const login = await request('POST', `${gateway.url}/auth/login`, { body: { email, password: PASSWORD } });
    return new Person(this, gateway, { id: made.body.id, email, token: login.body.accessToken });
  }

  /** Somebody without an account, whose token is as good. */
  stranger(gateway, id = unique('user')) {
    return new Person(this, gateway, { id, email: `${id}@example.com`, token: jwt({ sub: id, email: `${id}@example.com` }) });
  }

  async end() {
    for (const socket of this.sockets) socket.disconnect();
    await Promise.all([...this.running].map((server) => server.process.exitCode === null && server.process.signalCode === null ? server.kill() : null));
    await this.database.drop();
  }
}

class Person {
  constructor(stage, gateway, { id, email, token }) {
    Object.assign(this, { stage, gateway, id, email, token });
  }

  /** The same one at another gateway. */
  at(gateway) {
    return new Person(this.stage, gateway, this);
  }

  call(method, path, body, token = this.token) {
    return request(method, this.gateway.url + path, { token, body });
  }

  /** A room of one's own, with these as members. */
  async room(...members) {
    const { status, body } = await this.call('POST', '/rooms', { name: 'a room' });
    if (status !== 201) throw new Error(`no room: ${status} ${JSON.stringify(body)}`);
    for (const member of members) await member.call('POST', `/rooms/${body.id}/join`);
    return body.id;
  }

  /** What follows a message, page by page. */
  async after(room, id, limit = 50) {
    const found = [];
    for (;;) {
      const { status, body } = await this.call('GET', `/rooms/${room}/messages?after=${id}&limit=${limit}`);
      if (status !== 200) throw new Error(`no page: ${status} ${JSON.stringify(body)}`);
      found.push(...body.messages);
      if (!body.hasMore) return found;
      id = found.at(-1).id;
    }
  }

  /** A connected socket; `messages` are those that it was told, in their order. */
  async socket(options = {}) {
    const socket = this.dial(options);
    await event(socket, 'connect');
    return socket;
  }

  dial(options = {}) {
    const socket = io(this.gateway.url, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { token: this.token }, ...options });
    socket.messages = [];
    socket.on('newMessage', (message) => socket.messages.push(message));
    this.stage.sockets.add(socket);
    return socket;
  }

  /** A socket that follows the room. */
  async joined(room, options) {
    const socket = await this.socket(options);
    const done = await ask(socket, 'joinRoom', { roomId: room });
    if (!done.success) throw new Error(`not joined: ${JSON.stringify(done)}`);
    return socket;
  }
}

/** Emits and waits for the acknowledgement. */
export const ask = (socket, name, data) => within(15_000, `the answer to ${name}`, socket.emitWithAck(name, data));

export const text = (roomId, clientMsgId, content = clientMsgId) => ({ roomId, clientMsgId, type: 'TEXT', content });

/** What Redis answers to one command, as it writes it; for looking into keys. */
export async function redis(...command) {
  const url = new URL(variable('CHAT_TEST_REDIS_URL'));
  const password = decodeURIComponent(url.password);
  const login = password ? [['AUTH', ...(url.username ? [decodeURIComponent(url.username)] : []), password]] : [];
  const all = [...login, command, ['QUIT']];
  const client = connect(Number(url.port || 6379), url.hostname);
  client.end(all.map((words) => `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`).join(''));
  let said = '';
  await within(10_000, 'Redis', new Promise((resolve, reject) => client.on('data', (data) => (said += data)).on('end', resolve).on('error', reject)));
  return login.length ? said.replace(/^\+OK\r\n/, '') : said;
}
