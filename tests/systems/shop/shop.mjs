// A shop with stores in a database of its own, on any number of servers, and its users' clients.

import { io } from 'socket.io-client';
import { SECRET, Server, database, event, jwt, request, run, within } from '../server.mjs';

const PROGRAM = 'example-axum-shop';

/** A user's token. */
export const token = (user, role = 'USER', options) => jwt({ sub: user, role }, options);

export class Shop {
  sockets = [];
  servers = [];

  static async open({ env = {}, servers = 1 } = {}) {
    const shop = new Shop();
    shop.database = await database();
    shop.env = { DATABASE_URL: shop.database.url, JWT_SECRET: SECRET, LISTEN: '127.0.0.1:0', DRAIN_WINDOW: '0s', RATE_LIMITS: 'off', ...env };
    for (let number = 0; number < servers; number += 1) await shop.start();
    return shop;
  }

  /** One more server; `listen` is where, any free port unless given. */
  async start(listen = '127.0.0.1:0') {
    const server = await Server.start(PROGRAM, { env: { ...this.env, LISTEN: listen } });
    this.servers.push(server);
    return server;
  }

  run = (...args) => run(PROGRAM, { args, env: this.env });

  /** Makes or changes a store. */
  async store(id, owner, name = `Store ${id}`) {
    const { code, stderr } = await this.run('store', id, owner, name);
    if (code !== 0) throw new Error(stderr);
  }

  /** `{ status, body, headers }` of one of the servers. */
  rest(user, method, path, { role = 'USER', body, server = this.servers[0] } = {}) {
    return request(method, `${server.url}${path}`, { token: token(user, role), body });
  }

  /** The buyer's room with the store. */
  async room(buyer, storeId, options) {
    const { status, body } = await this.rest(buyer, 'POST', '/user/chat-room', { body: { storeId }, ...options });
    if (status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`);
    return body;
  }

  /** A client of this user, connected unless `connects` is false. Every message it is told is in `messages`. */
  async client(user, { role = 'USER', connects = true, server = this.servers[0], ...options } = {}) {
    const quick = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };
    const socket = io(`${server.url}/chat`, { ...quick, auth: { token: token(user, role) }, ...options });
    this.sockets.push(socket);
    socket.messages = [];
    socket.on('new-message', (message) => socket.messages.push(message));
    if (connects) await event(socket, 'connect');
    return socket;
  }

  /** Everything of a room by the cursor of its history, oldest first. */
  async all(user, roomId, { role = 'USER', side = 'user', server } = {}) {
    const messages = [];
    for (let before; ; before = messages[0].id) {
      const query = before ? `?limit=100&before=${before}` : '?limit=100';
      const { status, body } = await this.rest(user, 'GET', `/${side}/chat-room/${roomId}/messages${query}`, { role, server });
      if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
      messages.unshift(...body.messages.reverse());
      if (!body.meta.hasMore) return messages;
    }
  }

  async close() {
    for (const socket of this.sockets) socket.disconnect();
    for (const server of this.servers) if (server.process.exitCode === null && server.process.signalCode === null) await server.kill();
    await this.database.drop();
  }
}

/** What a client is answered. */
export const ask = (socket, name, data) => socket.timeout(15_000).emitWithAck(name, data);

/** As {@link ask}, where it must succeed; answers `data`. */
export async function done(socket, name, data) {
  const answer = await ask(socket, name, data);
  if (answer.success !== true) throw new Error(`${name}: ${JSON.stringify(answer)}`);
  return answer.data;
}

/** Why a client was not let in. */
export const refused = (socket) => within(15_000, 'connect_error', new Promise((resolve, reject) => {
  socket.once('connect_error', (error) => resolve(error.message));
  socket.once('connect', () => reject(new Error('it was let in')));
}));

export const texts = (messages) => messages.map(({ text }) => text);
