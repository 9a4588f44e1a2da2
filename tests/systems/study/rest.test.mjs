// REST, line by line, with its refusals; and the server's start, health and end.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Server, jwt, request, run } from '../server.mjs';
import { PROGRAM, SERVICE_TOKEN, Stage } from './stage.mjs';

let stage;
before(async () => (stage = await Stage.start()));
after(() => stage.end());

const as = (user) => ({ user });

test('a study has one room, whoever asks and how often', async () => {
  const body = { studyId: 7, name: 'Algorithms' };
  const calls = Array.from({ length: 10 }, (_, i) => stage.ask('POST', '/rooms', { user: 1 + i, body }));
  const answers = await Promise.all(calls);
  const ids = new Set(answers.map((answer) => answer.body.chatRoomId));
  assert.equal(ids.size, 1, JSON.stringify(answers.map((answer) => answer.body)));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [...Array(9).fill(200), 201]);
  const { chatRoomId, createdAt, ...room } = (await stage.ask('GET', '/rooms/study/7', as(99))).body;
  assert.ok(Number.isSafeInteger(chatRoomId) && ids.has(chatRoomId));
  assert.deepEqual(room, { studyId: 7, name: 'Algorithms', active: true });
  assert.match(createdAt, /^[\dT:.-]+$/);
  assert.equal((await stage.ask('GET', '/rooms/study/8', as(1))).status, 404);
  for (const wrong of [{}, { studyId: '7', name: 'x' }, { studyId: 8 }, { studyId: 8, name: ' ' }, { studyId: -1, name: 'x' }]) {
    assert.equal((await stage.ask('POST', '/rooms', { user: 1, body: wrong })).status, 400, JSON.stringify(wrong));
  }
});

test('members are added by members, and enter and leave by themselves', async () => {
  const room = await stage.room(1);
  const add = (user, body) => stage.ask('POST', '/rooms/member', { user, body });
  const added = await add(1, { chatRoomId: room, userId: 2 });
  assert.equal(added.status, 200);
  assert.deepEqual([added.body.userId, added.body.leftAt], [2, null]);
  assert.deepEqual((await add(1, { chatRoomId: room, memberId: 2 })).body, added.body, 'twice is once');
  assert.equal((await add(1, { chatRoomId: room, userId: 1 })).status, 200, 'the creator stays what they are');
  assert.equal((await add(2, { chatRoomId: room, userId: 4 })).status, 200, 'rooms are open');
  assert.equal((await add(8, { chatRoomId: room, userId: 3 })).status, 403, 'no member');
  assert.equal((await add(9, { chatRoomId: room, userId: 9 })).status, 200, 'as entering does');
  assert.equal((await add(1, { chatRoomId: 999_999, userId: 2 })).status, 403);

  const path = (what) => `/rooms/${room}/${what}`;
  const joined = (await stage.ask('POST', path('join'), as(3))).body;
  assert.deepEqual((await stage.ask('POST', path('join'), as(3))).body, joined, 'a second time changes nothing');
  const left = (await stage.ask('POST', path('leave'), as(3))).body;
  assert.equal(left.joinedAt, joined.joinedAt);
  assert.ok(left.leftAt >= left.joinedAt);
  assert.deepEqual((await stage.ask('POST', path('leave'), as(3))).body, left);
  assert.equal((await stage.ask('GET', path('messages'), as(3))).status, 403);
  assert.equal((await stage.ask('POST', path('join'), as(3))).body.leftAt, null);
  assert.equal((await stage.ask('POST', path('leave'), as(77))).status, 403, 'never was a member');
  assert.equal((await stage.ask('POST', '/rooms/999999/join', as(3))).status, 404);
  assert.equal((await stage.ask('POST', path('leave'), as(1))).status, 200, 'the creator may go too');
});

test('history comes in pages, by number and by message', async () => {
  const room = await stage.room(1, 2);
  const one = await stage.person(1);
  for (let i = 1; i <= 25; i += 1) assert.equal(await one.say(room, `m${i}`), true);
  const page = async (query) => {
    const { status, body } = await stage.ask('GET', `/rooms/${room}/messages?${query}`, as(2));
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const ids = async (query) => (await page(query)).messages.map(({ messageId }) => messageId);
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  assert.deepEqual(await ids(''), range(1, 25));
  assert.deepEqual(await ids('page=0&size=10'), range(16, 25));
  assert.deepEqual(await ids('page=1&size=10'), range(6, 15));
  assert.deepEqual(await ids('page=2&limit=10'), range(1, 5));
  assert.equal((await page('page=2&size=10')).hasMore, false);
  for (const beyond of ['page=3&size=10', 'page=1000000000000&size=100', 'page=18446744073709551615', 'before=1', 'before=0', 'after=25']) {
    assert.deepEqual(await page(beyond), { messages: [], hasMore: false }, beyond);
  }
  assert.deepEqual(await ids('before=16&size=10'), range(6, 15));
  assert.deepEqual(await ids('before=9999&size=3'), range(23, 25));
  assert.deepEqual(await ids('after=20'), range(21, 25));
  assert.equal((await page('after=5&size=10')).hasMore, true);
  for (const wrong of ['size=0', 'size=101', 'limit=1000', 'size=x', 'page=-1', 'page=0&before=3', 'before=3&after=1']) {
    assert.equal((await stage.ask('GET', `/rooms/${room}/messages?${wrong}`, as(2))).status, 400, wrong);
  }
});

test('unread counts are right at once', async () => {
  const room = await stage.room(1, 2);
  const one = await stage.person(1);
  const unread = async (user) => (await stage.ask('GET', `/rooms/${room}/unread`, as(user))).body.unreadCount;
  const read = (user, body) => stage.ask('POST', `/rooms/${room}/read`, { user, body });
  assert.equal(await unread(2), 0);
  for (let i = 1; i <= 5; i += 1) {
    assert.equal(await one.say(room, `m${i}`), true);
    assert.equal(await unread(2), i, 'remembered counts do not outlive a message');
    assert.equal(await unread(1), 0, 'nobody has their own to read');
  }
  assert.deepEqual((await read(2, { messageId: 3 })).body, { chatRoomId: room, lastReadMessageId: 3, unreadCount: 2 });
  assert.equal(await unread(2), 2);
  assert.deepEqual((await read(2, { messageId: 1 })).body, { chatRoomId: room, lastReadMessageId: 3, unreadCount: 2 }, 'never back');
  assert.equal((await read(2, { messageId: 6 })).status, 404);
  assert.equal((await read(2, { messageId: 'x' })).status, 400);
  assert.deepEqual((await read(2)).body, { chatRoomId: room, lastReadMessageId: 5, unreadCount: 0 });
  await one.say(room, 'm6');
  assert.equal(await unread(2), 1);
  for (const method of ['read', 'unread']) {
    const answer = await stage.ask(method === 'read' ? 'POST' : 'GET', `/rooms/${room}/${method}`, as(9));
    assert.deepEqual([answer.status, answer.body.code], [403, 'not_a_member']);
  }
});

test('other services add members, creating the room, and nobody else does', async () => {
  const ask = (headers, body = { studyId: 70, userId: 5, name: 'Rust' }, more = {}) =>
    stage.ask('POST', '/internal/rooms/member', { headers, body, ...more });
  assert.equal((await ask({})).status, 401);
  assert.equal((await ask({}, undefined, as(5))).status, 401, 'a user is no service');
  assert.equal((await ask({ 'x-internal-token': `${SERVICE_TOKEN}!` })).status, 403);
  assert.equal((await stage.ask('GET', '/rooms/study/70', as(5))).status, 404);
  const good = { 'x-internal-token': SERVICE_TOKEN };
  const added = await ask(good);
  assert.equal(added.status, 200);
  assert.deepEqual((await ask(good)).body, added.body, 'twice is once');
  const room = (await stage.ask('GET', '/rooms/study/70', as(5))).body;
  assert.deepEqual([room.chatRoomId, room.name], [added.body.chatRoomId, 'Rust']);
  assert.equal((await stage.ask('GET', `/rooms/${room.chatRoomId}/messages`, as(5))).status, 200);
  // Nobody created it, and still its members add others.
  const other = await stage.ask('POST', '/rooms/member', { user: 5, body: { chatRoomId: room.chatRoomId, userId: 6 } });
  assert.equal(other.status, 200);
  assert.equal((await ask(good, { studyId: 70 })).status, 400);
  assert.equal((await stage.ask('PATCH', '/internal/rooms/999999', { headers: good, body: { active: false } })).status, 404);
});

test('requests that are none are refused with their reasons', async () => {
  const room = await stage.room(1);
  const url = `${stage.servers[0].url}/api/chat/rooms/${room}/messages`;
  for (const token of [undefined, 'nonsense', jwt({ sub: 'hong' }), jwt({ sub: '1' }, { seconds: -120 })]) {
    const answer = await request('GET', url, { token });
    assert.equal(answer.status, 401, token);
    assert.match(answer.headers.get('content-type'), /problem\+json/);
  }
  assert.equal((await stage.ask('GET', '/rooms/x/messages', as(1))).status, 400);
  assert.equal((await stage.ask('GET', '/nothing', as(1))).status, 404);
  assert.equal((await stage.ask('DELETE', '/rooms', as(1))).status, 405);
  assert.equal((await stage.ask('POST', '/rooms', { user: 1, body: '{' })).body.code, 'malformed');
  const long = await stage.ask('POST', '/rooms', { user: 1, body: { studyId: 1, name: 'x'.repeat(9_000) } });
  assert.equal(long.body.code, 'limit_exceeded');
  assert.equal((await stage.ask('POST', '/rooms', { user: 1, body: 'x'.repeat(70_000) })).status, 413);
});

test('health names every dependency', async () => {
  const { status, body } = await request('GET', `${stage.servers[0].url}/health`);
  assert.equal(status, 200, JSON.stringify(body));
  for (const name of ['postgres', 'redis', 'kafka']) assert.equal(body.dependencies[name].status, 'ok', name);
});

test('pages of listed origins may use it, and no others', async () => {
  const env = { ...stage.env, ALLOWED_ORIGINS: 'https://study.example' };
  const server = await Server.start(PROGRAM, { env });
  const preflight = (origin) => fetch(`${server.url}/api/chat/rooms`, {
    method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
  });
  const socket = (origin) => new Promise((resolve) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws-chat`, ['v12.stomp'], { origin });
    socket.on('open', () => resolve(true) ?? socket.close()).on('error', () => resolve(false));
  });
  for (const [origin, may] of [['https://study.example', true], ['https://other.example', false]]) {
    assert.equal((await preflight(origin)).headers.get('access-control-allow-origin'), may ? origin : null);
    assert.equal(await socket(origin), may, origin);
  }
  assert.equal(await server.stop(), 0);
});

test('settings that are missing or wrong are named at once', async () => {
  const { code, stderr } = await run(PROGRAM, { env: { KAFKA_PARTITIONS: '0' } });
  assert.equal(code, 2);
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'KAFKA_BROKERS', 'JWT_SECRET', 'INTERNAL_TOKEN', 'KAFKA_PARTITIONS']) {
    assert.ok(stderr.includes(name), `${name} is not in: ${stderr}`);
  }
});

test('asked to end it lets clients go and ends well', async () => {
  const server = await stage.instance();
  const person = await stage.person(1, { at: stage.servers.indexOf(server) });
  stage.servers.splice(stage.servers.indexOf(server), 1);
  assert.equal(await server.stop(), 0);
  assert.equal((await person.failed).code, 'draining');
  await person.closed;
});
