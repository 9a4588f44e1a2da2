// Starts the servers of the four systems, and what every test of them needs: databases of its own, tokens, requests, waiting.

import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';

/** Signs the tests' tokens, unless another secret is given. */
export const SECRET = 'a secret for tests that is long enough';

const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token with these claims (HS256), valid for `seconds`. */
export function jwt(claims, { secret = SECRET, seconds = 600 } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${base64({ alg: 'HS256', typ: 'JWT' })}.${base64({ iat: now - 60, exp: now + seconds, ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** A name that nothing else has: for topics, prefixes, databases. */
export const unique = (prefix = 'test') => `${prefix}_${randomBytes(8).toString('hex')}`;

/** What a variable of the test run says. */
export function variable(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} must be set; \`cargo xtask test\` does, and \`cargo xtask services up\` says how for servers`);
  return value;
}

/** An empty database with a name of its own: `url`, `query(text, values)` for its rows, `shut()` cuts
 * everybody off until `reopen()`, `drop()` at the end. */
export async function database() {
  const url = new URL(variable('CHAT_TEST_POSTGRES_URL'));
  const name = unique('systems');
  await once(url.href, `CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: own.href, max: 2 });
  // A connection that waits is ended with its database.
  pool.on('error', () => {});
  return {
    url: own.href,
    query: async (text, values) => (await pool.query(text, values)).rows,
    shut: async () => {
      await once(url.href, `ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
      await once(url.href, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`);
    },
    reopen: () => once(url.href, `ALTER DATABASE ${name} ALLOW_CONNECTIONS true`),
    drop: async () => {
      await pool.end();
      await once(url.href, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function once(url, statement) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

/** The variables of this process without those that programs of ours read, with `own`. */
function environment(own) {
  const { PATH, HOME, TMPDIR, RUST_BACKTRACE, LLVM_PROFILE_FILE } = process.env;
  const all = { PATH, HOME, TMPDIR, RUST_BACKTRACE, LLVM_PROFILE_FILE, CHAT_LOG: process.env.CHAT_TEST_LOG ?? 'warn', ...own };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Runs a program of ours to its end: `{ code, stdout, stderr }`. */
export async function run(program, { args = [], env = {} } = {}) {
  const child = spawn(join(variable('CHAT_TEST_BINARIES'), program), args, { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => (said.stdout += data));
  child.stderr.on('data', (data) => (said.stderr += data));
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { code, ...said };
}

/** A program of ours that runs until it is told to end. */
export class Server {
  /** Starts `program` (its name in the folder of built programs) and waits for the line that says it is there. */
  static async start(program, { args = [], env = {}, ready = /^listening on (http:\S+)$/ } = {}) {
    const server = new Server();
    const stdio = ['ignore', 'pipe', 'inherit'];
    server.process = spawn(join(variable('CHAT_TEST_BINARIES'), program), args, { env: environment(env), stdio });
    server.exit = new Promise((resolve, reject) => server.process.once('error', reject).once('exit', resolve));
    // Said by whoever waits for it.
    server.exit.catch(() => {});
    const lines = createInterface({ input: server.process.stdout });
    const found = new Promise((resolve) => lines.on('line', (line) => {
      const match = ready.exec(line);
      if (match) resolve(match[1] ?? line);
    }));
    const ended = server.exit.then((code) => Promise.reject(new Error(`${program} ended with ${code} before it was there`)));
    server.url = await within(60_000, `${program} to start`, Promise.race([found, ended]));
    return server;
  }

  /** Ends it and answers its exit code; null where a signal ended it. */
  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    return within(30_000, `the end after ${signal}`, this.exit);
  }

  /** Ends it without a chance to say anything. */
  kill = () => this.stop('SIGKILL');
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One request: `{ status, body, headers }`, `body` as JSON where it is. `token` goes into `Authorization`. */
export async function request(method, url, { token, body, headers = {} } = {}) {
  const all = { ...headers };
  if (token !== undefined) all.authorization = `Bearer ${token}`;
  if (body !== undefined && !all['content-type']) all['content-type'] = 'application/json';
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(url, { method, headers: all, body: text, signal: AbortSignal.timeout(30_000) });
  const said = await response.text();
  let parsed = said;
  try {
    parsed = said === '' ? null : JSON.parse(said);
  } catch {
    // Not JSON: the text as it is.
  }
  return { status: response.status, headers: response.headers, body: parsed };
}

/** The promise, or an error after so many milliseconds. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next event of this name, with its arguments' first. For Socket.IO's sockets, Node's emitters and the like. */
export const event = (emitter, name, ms = 15_000) =>
  within(ms, name, new Promise((resolve) => emitter.once(name, resolve)));

/** Waits until `is` holds; it may be asynchronous. */
export async function until(what, is, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await is())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(10);
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
