// Each peer is started as the benchmarks start it, and spoken to by its own client.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Centrifuge } from 'centrifuge';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { io } from 'socket.io-client';
import WebSocket from 'ws';

const JWT_SECRET = 'a secret for tests that is long enough';
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const token = (sub, more = {}) => jwt.sign({ sub, ...more }, JWT_SECRET, { expiresIn: '10m' });

const endings = [];
after(async () => {
  for (const end of endings.reverse()) await end();
});

/** What a variable of the test run says. */
function variable(name) {
  const value = process.env[name];
  assert.ok(value, `${name} must be set: \`cargo xtask services up\` prints it`);
  return value;
}

/** An empty database and what is in it. */
async function database() {
  const url = new URL(variable('CHAT_TEST_POSTGRES_URL'));
  const name = `peers_${randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  url.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  endings.push(async () => {
    await client.end();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });
  return { url: url.href, query: async (text, values) => (await client.query(text, values)).rows };
}

/** Runs a command until it says what matches, and ends it after the tests; or until it ends, where nothing is waited for. */
async function run([program, ...args], env, ready) {
  const child = spawn(program, args, { env: { ...process.env, NODE_ENV: 'production', LISTEN: '127.0.0.1:0', JWT_SECRET, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  if (!ready) return ended;
  endings.push(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  let said = '';
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      said += data;
      const found = ready.exec(said);
      if (found) resolve(found[1]);
    });
    ended.then((code) => reject(new Error(`${program} ended with ${code}: ${said}`)));
  });
}

const LISTENING = /^listening on (http:\S+)\n/;

async function rest(url, method, path, bearer, body) {
  const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
  const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
  const said = await response.json();
  assert.ok(response.ok, JSON.stringify(said));
  return said;
}

/** A connected socket; `heard` are the payloads of `event`. */
async function socket(url, bearer, event) {
  const client = io(url, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { token: bearer } });
  endings.push(() => client.disconnect());
  client.heard = [];
  client.on(event, (payload) => client.heard.push(payload));
  await new Promise((resolve, reject) => client.once('connect', resolve).once('connect_error', reject));
  return client;
}

async function until(is) {
  for (let tries = 0; tries < 400; tries++) {
    if (is()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`in 20 s it was not so: ${is}`);
}

const refuses = (url, event) => assert.rejects(socket(url, 'nonsense', event), /unauthorized/);

for (const withRedis of [false, true]) {
  test(`socketio, ${withRedis ? 'two servers with Redis' : 'one server'}`, { timeout: 60_000 }, async () => {
    const env = withRedis ? { REDIS_URL: variable('CHAT_TEST_REDIS_URL'), REDIS_PREFIX: randomUUID() } : { REDIS_URL: '' };
    const command = ['node', at('socketio/server.mjs')];
    const urls = [await run(command, env, LISTENING)];
    urls.push(withRedis ? await run(command, env, LISTENING) : urls[0]);
    const [ann, bob] = [await socket(urls[0], token('ann'), 'message'), await socket(urls[1], token('bob'), 'message')];
    for (const client of [ann, bob]) assert.deepEqual(await client.emitWithAck('join', { roomId: 'r' }), { ok: true });
    assert.deepEqual(await ann.emitWithAck('send', { roomId: 'r', clientMsgId: 'c1', content: 'hello' }), { ok: true });
    for (const client of [ann, bob]) {
      await until(() => client.heard.length === 1);
      const { ts, ...message } = client.heard[0];
      assert.ok(Math.abs(ts - Date.now()) < 60_000);
      assert.deepEqual(message, { roomId: 'r', senderId: 'ann', clientMsgId: 'c1', content: 'hello' });
    }
    await refuses(urls[0], 'message');
  });
}

test('nest-shop', { timeout: 60_000 }, async () => {
  const { url: DATABASE_URL, query } = await database();
  const command = ['node', at('out/nest-shop/main.js')];
  assert.equal(await run([...command, 'store', '7', 'sue', 'Sue’s flowers'], { DATABASE_URL }), 0);
  const url = await run(command, { DATABASE_URL }, LISTENING);
  const [buyer, seller] = [token('bea', { role: 'USER' }), token('sue', { role: 'SELLER' })];
  const { id: roomId } = await rest(url, 'POST', '/user/chat-room', buyer, { storeId: 7 });
  assert.equal((await rest(url, 'POST', '/user/chat-room', buyer, { storeId: '7' })).id, roomId);
  const [bea, sue] = [await socket(`${url}/chat`, buyer, 'new-message'), await socket(`${url}/chat`, seller, 'new-message')];
  for (const client of [bea, sue]) assert.deepEqual(await client.emitWithAck('join-room', { roomId }), { success: true, data: { roomId } });

  const { success, data } = await bea.emitWithAck('send-message', { roomId, text: 'hello', clientMsgId: 'c1' });
  assert.ok(success);
  const [row] = await query('SELECT id, "senderId", text FROM chat_message');
  assert.deepEqual(row, { id: data.id, senderId: 'bea', text: 'hello' });
  for (const client of [bea, sue]) {
    await until(() => client.heard.length === 1);
    const { createdAt, ...message } = client.heard[0];
    assert.equal(new Date(createdAt).toISOString(), createdAt);
    assert.deepEqual(message, { id: data.id, roomId, text: 'hello', senderId: 'bea', senderType: 'USER', clientMsgId: 'c1' });
  }
  const { messages, meta } = await rest(url, 'GET', `/user/chat-room/${roomId}/messages?limit=10`, buyer);
  assert.deepEqual([messages.map(({ text }) => text), meta.total], [['hello'], 1]);
  const [room] = await rest(url, 'GET', '/seller/chat-room/store/7', seller);
  assert.deepEqual([room.lastMessage, room.unreadCount], ['hello', 1]);

  const mallory = await socket(`${url}/chat`, token('mallory', { role: 'ADMIN' }), 'new-message');
  assert.equal((await mallory.emitWithAck('join-room', { roomId })).success, false);
  for (const text of [' ', 'x'.repeat(1_001), 5]) assert.equal((await bea.emitWithAck('send-message', { roomId, text })).success, false);
  assert.ok((await bea.emitWithAck('send-message', { roomId, text: '🌷'.repeat(1_000) })).success);
  await refuses(`${url}/chat`, 'new-message');
});

test('nest-group', { timeout: 120_000 }, async () => {
  const { url: DATABASE_URL, query } = await database();
  const env = {
    DATABASE_URL,
    KAFKA_BROKERS: variable('CHAT_TEST_KAFKA_URL'),
    REDIS_URL: variable('CHAT_TEST_REDIS_URL'),
    KAFKA_TOPIC_PREFIX: `${randomUUID()}.`,
  };
  const command = ['node', at('out/nest-group/main.js')];
  const [one, two] = await Promise.all([
    run([...command, 'gateway'], env, LISTENING),
    run([...command, 'gateway'], env, LISTENING),
    run([...command, 'worker'], env, /^(working on) \S+\n/),
  ]);
  const { id: roomId } = await rest(one, 'POST', '/rooms', token('ann'), { name: 'a room' });
  await rest(two, 'POST', `/rooms/${roomId}/join`, token('bob'));
  const [ann, bob] = [await socket(one, token('ann'), 'newMessage'), await socket(two, token('bob'), 'newMessage')];
  for (const client of [ann, bob]) assert.deepEqual(await client.emitWithAck('joinRoom', { roomId }), { success: true });

  const message = { roomId, clientMsgId: 'c1', type: 'TEXT', content: 'hello' };
  // A repeat is the same message.
  for (let times = 0; times < 2; times++) assert.deepEqual(await ann.emitWithAck('sendMessage', message), { clientMsgId: 'c1', status: 'ACCEPTED' });
  assert.equal((await ann.emitWithAck('sendMessage', { ...message, clientMsgId: 'c2' })).status, 'ACCEPTED');
  for (const client of [ann, bob]) {
    await until(() => client.heard.length === 2);
    const { id, messageId, createdAt, ...told } = client.heard[0];
    assert.equal(id, messageId);
    assert.equal(new Date(createdAt).toISOString(), createdAt);
    assert.deepEqual(told, { ...message, senderId: 'ann' });
  }
  const rows = await query('SELECT id, "senderId", content FROM message ORDER BY id');
  assert.deepEqual(rows, ann.heard.map(({ id }) => ({ id, senderId: 'ann', content: 'hello' })));
  const { messages } = await rest(one, 'GET', `/rooms/${roomId}/messages?after=${rows[0].id}`, token('ann'));
  assert.deepEqual(messages.map(({ clientMsgId }) => clientMsgId), ['c2']);

  const mallory = await socket(one, token('mallory'), 'newMessage');
  assert.equal((await mallory.emitWithAck('joinRoom', { roomId })).success, false);
  assert.equal((await mallory.emitWithAck('sendMessage', message)).status, 'FAILED');
  const stranger = io(one, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { token: 'nonsense' } });
  assert.equal(await new Promise((resolve) => stranger.once('disconnect', resolve)), 'io server disconnect');
});

const centrifugal = [['centrifuge', [at('../../target/peers/centrifuge')]]];
// Centrifugo is not installed by this repository: it is tested where it is said to be.
if (process.env.CENTRIFUGO) centrifugal.push(['centrifugo', [at('centrifugo/run.sh')]]);

for (const [name, command] of centrifugal) {
  for (const [kind, history, withRedis] of [['with history', 'on', false], ['without history', 'off', false], ['two servers with Redis', 'on', true]]) {
    test(`${name}, ${kind}`, { timeout: 60_000 }, async () => {
      const env = { HISTORY: history, REDIS_URL: withRedis ? variable('CHAT_TEST_REDIS_URL') : '', REDIS_PREFIX: randomUUID() };
      const urls = [await run(command, env, LISTENING)];
      urls.push(withRedis ? await run(command, env, LISTENING) : urls[0]);
      const connect = (url, bearer) => {
        const client = new Centrifuge(`${url.replace('http', 'ws')}/connection/websocket`, { token: bearer, websocket: WebSocket });
        endings.push(() => client.disconnect());
        client.connect();
        return client;
      };
      const rooms = [connect(urls[0], token('ann')), connect(urls[1], token('bob'))].map((client) => client.newSubscription('room:r'));
      for (const room of rooms) {
        room.heard = [];
        room.on('publication', ({ data, info }) => room.heard.push({ ...data, senderId: info.user }));
        room.subscribe();
        await room.ready(10_000);
      }
      const [ann, bob] = rooms;
      await ann.publish({ clientMsgId: 'c1', content: 'hello' });
      for (const room of rooms) {
        await until(() => room.heard.length === 1);
        assert.deepEqual(room.heard, [{ clientMsgId: 'c1', content: 'hello', senderId: 'ann' }]);
      }
      // Who comes back is told what was missed where there is a history.
      bob.unsubscribe();
      await ann.publish({ clientMsgId: 'c2', content: 'missed' });
      const subscribed = new Promise((resolve) => bob.once('subscribed', resolve));
      bob.subscribe();
      const { recovered } = await subscribed;
      await ann.publish({ clientMsgId: 'c3', content: 'last' });
      await until(() => bob.heard.at(-1).clientMsgId === 'c3');
      assert.deepEqual([recovered, bob.heard.length], history === 'on' ? [true, 3] : [false, 2]);

      // A room that one has not joined takes nothing; a bad token is no connection.
      const carl = connect(urls[0], token('carl'));
      await carl.ready(10_000);
      await assert.rejects(carl.publish('room:r', {}));
      const nobody = connect(urls[0], 'nonsense');
      await assert.rejects(nobody.ready(5_000));
    });
  }
}
