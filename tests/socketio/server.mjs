// Starts the example, and speaks to it as a service's own back end would.

import { spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const SECRET = 'a secret for tests that is long enough';
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A user's token, valid for `seconds`. */
export function token(user, seconds = 600) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${base64({ alg: 'HS256', typ: 'JWT' })}.${base64({ sub: user, iat: now - 60, exp: now + seconds })}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** A server with a folder of its own; `listen` is where, any free port unless given. */
export class Server {
  sockets = [];

  static async start({ folder, listen = '127.0.0.1:0' } = {}) {
    const server = new Server();
    server.folder = folder ?? (await mkdtemp(join(tmpdir(), 'chat-socketio-')));
    const program = process.env.CHAT_SOCKETIO_BIN;
    if (!program) throw new Error('CHAT_SOCKETIO_BIN must name the example (cargo build -p example-axum-socketio)');
    server.process = spawn(program, ['--listen', listen], {
      cwd: server.folder, env: { ...process.env, CHAT_SECRET: SECRET }, stdio: ['ignore', 'pipe', 'inherit'],
    });
    server.exit = new Promise((resolve) => server.process.once('exit', resolve));
    for await (const line of createInterface({ input: server.process.stdout })) {
      const found = /^listening on (http:\S+)$/.exec(line);
      if (found) {
        server.url = found[1];
        return server;
      }
    }
    throw new Error('the server ended without a word');
  }

  /** A client of this user, connected unless `connects` is false. */
  async client(user, { connects = true, ...options } = {}) {
    const socket = io(`${this.url}/chat`, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, auth: { token: token(user) }, ...options });
    this.sockets.push(socket);
    socket.messages = [];
    socket.on('new-message', (message) => socket.messages.push(message));
    if (connects) await event(socket, 'connect');
    return socket;
  }

  async rest(user, method, path, body) {
    const headers = { authorization: `Bearer ${token(user)}`, 'content-type': 'application/json' };
    const response = await fetch(`${this.url}/chat${path}`, { method, headers, body: body && JSON.stringify(body) });
    if (response.status === 429) {
      await pause((await response.json()).retryAfterMs);
      return this.rest(user, method, path, body);
    }
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? null : response.json();
  }

  /** A room of these; the first one owns it. */
  async room(id, owner, ...members) {
    await this.rest(owner, 'POST', '/rooms', { id });
    for (const member of members) await this.rest(owner, 'PUT', `/rooms/${id}/members/${member}`, {});
  }

  /** Ends it. The folder is kept where another one is to go on with it. */
  async stop(signal = 'SIGTERM', { keeps = false } = {}) {
    this.process.kill(signal);
    const code = await this.exit;
    if (!keeps) {
      for (const socket of this.sockets) socket.disconnect();
      await rm(this.folder, { recursive: true, force: true });
    }
    return code;
  }
}

/** The next event of this name, with its argument. */
export function event(socket, name, ms = 10_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} within ${ms} ms`)), ms);
    socket.once(name, (value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Says something, as soon as it may. */
export async function say(socket, roomId, text, clientMsgId = randomUUID()) {
  for (;;) {
    const answer = await ask(socket, 'send-message', { roomId, text, clientMsgId });
    if (answer.success) return answer.data;
    const wait = /try again in (\d+) ms/.exec(answer.message);
    if (!wait) throw new Error(answer.message);
    await pause(Number(wait[1]) + 1);
  }
}

export const ask = (socket, name, data) => socket.timeout(10_000).emitWithAck(name, data);

export async function until(what, is, ms = 15_000) {
  const end = Date.now() + ms;
  while (!is()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const texts = (socket) => socket.messages.map(({ text }) => text);
