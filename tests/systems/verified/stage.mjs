// Instances of the server on one database and one Redis, and people who connect to them.

import { createServer, connect as dial } from 'node:net';
import { io } from 'socket.io-client';
import { Server, SECRET, database, event, jwt, request, unique, variable, within } from '../server.mjs';
import { AUDIENCE, Wallet } from './wallet.mjs';

/** Kind 0 is a message; joining and leaving are entries too. */
const STORED = `SELECT e.seq, e.sender, e.client_id, e.body FROM chat.entries e JOIN chat.rooms r USING (room)
  WHERE r.id = $1 AND e.body IS NOT NULL ORDER BY e.seq`;

export const PROGRAM = 'example-axum-verified';

/** One chat of any number of instances. `env` is for all of them. */
export class Stage {
  static async open(env = {}) {
    const stage = new Stage();
    stage.database = await database();
    stage.issuer = new Wallet();
    stage.instances = [];
    stage.sockets = [];
    stage.env = {
      LISTEN: '127.0.0.1:0', DATABASE_URL: stage.database.url, REDIS_URL: variable('CHAT_TEST_REDIS_URL'),
      REDIS_PREFIX: unique('verified'), JWT_SECRET: SECRET, PRESENTATION_AUDIENCE: AUDIENCE,
      TRUSTED_ISSUERS: stage.issuer.did, CREDENTIAL_TYPES: 'MembershipCredential', RATE_LIMITS: 'off', DRAIN_WINDOW: '0s',
      ...env,
    };
    return stage;
  }

  async start(env = {}) {
    const server = await Server.start(PROGRAM, { env: { ...this.env, ...env } });
    this.instances.push(server);
    return server;
  }

  /** A person with a wallet, a token and a credential. */
  person(user, { kind = 'p256', claims = {} } = {}) {
    const wallet = new Wallet(kind);
    const credential = this.issuer.issue(wallet, user);
    return { user, wallet, credential, token: jwt({ sub: user, jti: unique('jti'), ...claims }), present: (changes) => wallet.present(credential, changes) };
  }

  /** A socket on `/chat` that is connected. Refused, it throws the message of `connect_error`. */
  async connect(server, auth, options = {}) {
    const socket = io(`${server.url}/chat`, { transports: ['websocket'], forceNew: true, reconnection: false, auth, ...options });
    this.sockets.push(socket);
    socket.messages = [];
    socket.on('message', (message) => socket.messages.push(message));
    const refused = new Promise((_, reject) => socket.once('connect_error', reject));
    await within(15_000, 'connect', Promise.race([new Promise((resolve) => socket.once('connect', resolve)), refused]));
    socket.ask = (name, data) => socket.timeout(20_000).emitWithAck(name, data);
    return socket;
  }

  /** Connects somebody with a new presentation. */
  enter = (server, person, changes) => this.connect(server, { token: person.token, presentation: person.present(changes) });

  /** What `connect_error` says. */
  async refusal(server, auth) {
    try {
      await this.connect(server, auth);
    } catch (error) {
      return error.message;
    }
    throw new Error('it was let in');
  }

  /** A request with token and presentation. */
  rest = (server, person, method, path, body) => {
    person.shown ??= person.present();
    return request(method, `${server.url}${path}`, { token: person.token, headers: { 'x-presentation': person.shown }, body });
  };

  /** A room of the first of these with the others in it. */
  async room(server, number, [owner, ...others]) {
    const made = await this.rest(server, owner, 'POST', '/rooms', { roomId: number, name: `room ${number}` });
    if (made.status !== 201) throw new Error(`${made.status} ${JSON.stringify(made.body)}`);
    for (const other of others) {
      const added = await this.rest(server, owner, 'POST', `/rooms/${number}/members`, { userId: other.user });
      if (added.status !== 204) throw new Error(`${added.status} ${JSON.stringify(added.body)}`);
    }
  }

  /** The messages of a room that are in the database. */
  stored = async (number) =>
    this.database.query(STORED, [String(number)]);

  async close() {
    for (const socket of this.sockets) socket.disconnect();
    for (const server of this.instances) if (server.process.exitCode === null && server.process.signalCode === null) await server.kill();
    await this.database.drop();
  }
}

/** A way to a server that can be cut off: for a database that is away for a while. */
export async function road(url) {
  const target = new URL(url);
  const open = new Set();
  const listener = createServer((near) => {
    if (road.cut) return near.destroy();
    const far = dial(Number(target.port), target.hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on('error', () => {}).on('close', () => (open.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  const road = {
    cut: false,
    cutOff() {
      this.cut = true;
      for (const socket of open) socket.destroy();
    },
    restore() {
      this.cut = false;
    },
    close: () => (road.cutOff(), listener.close()),
  };
  listener.listen(0, '127.0.0.1');
  await event(listener, 'listening');
  const through = new URL(target);
  [through.hostname, through.port] = ['127.0.0.1', String(listener.address().port)];
  road.url = through.href;
  return road;
}
