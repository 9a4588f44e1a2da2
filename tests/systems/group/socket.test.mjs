// The events: who may connect, join and send, what is answered, and what comes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { event, jwt, request, unique, until } from '../server.mjs';
import { Stage, ask, redis, text } from './stage.mjs';

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

let stage, gateway, other, worker;

before(async () => {
  stage = await Stage.set();
  [gateway, other, worker] = await Promise.all([stage.gateway(), stage.gateway(), stage.worker()]);
});
after(() => stage?.end());

test('a bad or missing token: connected, and disconnected at once', async () => {
  const ann = stage.stranger(gateway);
  const tokens = {
    missing: {},
    garbled: { token: 'x.y.z' },
    'of another secret': { token: jwt({ sub: ann.id, email: ann.email }, { secret: 'another secret, and long enough as well' }) },
    expired: { token: jwt({ sub: ann.id, email: ann.email }, { seconds: -60 }) },
    'without a user': { token: jwt({ email: ann.email }) },
    'without an email': { token: jwt({ sub: ann.id }) },
  };
  for (const [what, auth] of Object.entries(tokens)) {
    const socket = ann.dial({ auth });
    const reason = await event(socket, 'disconnect');
    assert.equal(reason, 'io server disconnect', what);
  }
});

test('the token comes in auth, else in the header; a bad one in auth is not made good by the header', async () => {
  const ann = stage.stranger(gateway);
  const extraHeaders = { authorization: `Bearer ${ann.token}` };
  const socket = await ann.socket({ auth: {}, extraHeaders });
  assert.deepEqual(await ask(socket, 'heartbeat', {}), { success: true });
  const refused = ann.dial({ auth: { token: 'x.y.z' }, extraHeaders });
  assert.equal(await event(refused, 'disconnect'), 'io server disconnect');
  const inAddress = ann.dial({ auth: {}, query: { token: ann.token } });
  assert.equal(await event(inAddress, 'disconnect'), 'io server disconnect');
});

test('over long polling as well', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const socket = await ann.joined(room, { transports: ['polling'] });
  assert.equal((await ask(socket, 'sendMessage', text(room, 'c1'))).status, 'ACCEPTED');
  await until('the message', () => socket.messages.length === 1);
});

test('a message is accepted, stored, and comes to every member at every gateway, the sender included', async () => {
  const ann = stage.stranger(gateway);
  const bob = stage.stranger(other);
  const room = await ann.room(bob);
  const sockets = await Promise.all([ann.joined(room), ann.at(other).joined(room), bob.joined(room), bob.at(gateway).joined(room)]);
  const sent = { ...text(room, 'c1', 'hello'), senderId: bob.id };
  assert.deepEqual(await ask(sockets[0], 'sendMessage', sent), { clientMsgId: 'c1', status: 'ACCEPTED' });
  const image = { roomId: room, clientMsgId: 'c2', type: 'IMAGE', content: 'https://example.com/a.png' };
  assert.deepEqual(await ask(sockets[2], 'sendMessage', image), { clientMsgId: 'c2', status: 'ACCEPTED' });
  await until('both everywhere', () => sockets.every((socket) => socket.messages.length === 2));
  for (const socket of sockets) assert.deepEqual(socket.messages, sockets[0].messages);
  const [first, second] = sockets[0].messages;
  assert.deepEqual(Object.keys(first).sort(), ['clientMsgId', 'content', 'createdAt', 'id', 'messageId', 'roomId', 'senderId', 'type']);
  assert.match(first.id, ULID);
  assert.equal(first.messageId, first.id);
  assert.ok(first.id < second.id && !Number.isNaN(Date.parse(first.createdAt)));
  // Whoever claims to be somebody else is not: the token says who.
  assert.deepEqual([first.roomId, first.senderId, first.clientMsgId, first.type, first.content], [room, ann.id, 'c1', 'TEXT', 'hello']);
  assert.deepEqual([second.senderId, second.type, second.content], [bob.id, 'IMAGE', image.content]);
  const { body } = await bob.call('GET', `/rooms/${room}/messages`);
  assert.deepEqual(body.messages, sockets[0].messages);
});

test('only members join, and only rooms that are there', async () => {
  const [ann, eve] = [stage.stranger(gateway), stage.stranger(gateway)];
  const room = await ann.room();
  const socket = await eve.socket();
  for (const roomId of [room, unique('room'), 'no room id!?/', 7, undefined]) {
    const done = await ask(socket, 'joinRoom', { roomId });
    assert.equal(done.success, false);
    assert.equal(typeof done.error, 'string');
  }
  await eve.call('POST', `/rooms/${room}/join`);
  assert.deepEqual(await ask(socket, 'joinRoom', { roomId: room }), { success: true });
});

test('what cannot be sent is answered as failed, and nobody sees it', async () => {
  const [ann, eve] = [stage.stranger(gateway), stage.stranger(gateway)];
  const room = await ann.room();
  const [socket, outside] = [await ann.joined(room), await eve.socket()];
  const refused = [
    [outside, text(room, 'a stranger')],
    [socket, text(unique('room'), 'n1')],
    [socket, { ...text(room, 'n2'), content: '' }],
    [socket, { ...text(room, 'n3'), content: ' \n ' }],
    [socket, { ...text(room, 'n4'), content: 'x'.repeat(1_001) }],
    [socket, { ...text(room, 'n5'), content: { text: 'x' } }],
    [socket, { ...text(room, 'n6'), content: undefined }],
    [socket, { ...text(room, 'n7'), type: undefined }],
    [socket, { ...text(room, 'n8'), type: 'two words' }],
    [socket, { ...text(room, 'n9'), roomId: undefined }],
    [socket, text(room, 'x'.repeat(129))],
    [socket, text(room, '!reserved')],
    [socket, text(room, 'imported:1')],
    [socket, text(room, 7)],
    [socket, 'no object'],
    [socket, { ...text(room), content: 'no id' }],
  ];
  for (const [from, what] of refused) {
    const done = await ask(from, 'sendMessage', what);
    assert.deepEqual([done.status, done.clientMsgId], ['FAILED', what.clientMsgId ?? null], JSON.stringify(what).slice(0, 80));
    assert.equal(typeof done.error, 'string');
  }
  assert.equal((await ask(socket, 'sendMessage', text(room, 'good', 'x'.repeat(1_000)))).status, 'ACCEPTED');
  await until('the good one', () => socket.messages.length === 1);
  assert.equal(socket.messages[0].clientMsgId, 'good');
  const { body } = await ann.call('GET', `/rooms/${room}/messages`);
  assert.equal(body.messages.length, 1);
});

test('an event that is larger than any message may be ends the connection', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const socket = await ann.joined(room);
  socket.emit('sendMessage', text(room, 'c1', 'x'.repeat(100_000)));
  await event(socket, 'disconnect');
  assert.deepEqual((await ann.call('GET', `/rooms/${room}/messages`)).body.messages, []);
});

test('whoever sends too much is told when to go on, and what was accepted is there', async () => {
  const limited = await stage.gateway({ RATE_LIMITS: 'on' });
  const ann = stage.stranger(limited);
  const room = await ann.room();
  const socket = await ann.joined(room);
  const answers = await Promise.all(Array.from({ length: 80 }, (_, number) => ask(socket, 'sendMessage', text(room, `c${number}`))));
  const accepted = answers.filter(({ status }) => status === 'ACCEPTED').map(({ clientMsgId }) => clientMsgId);
  const failed = answers.filter(({ status }) => status === 'FAILED');
  assert.ok(accepted.length >= 20 && failed.length > 0);
  for (const { code, retryable } of failed) assert.deepEqual([code, retryable], ['rate_limited', true]);
  await until('what was accepted', () => socket.messages.length === accepted.length);
  assert.deepEqual(socket.messages.map(({ clientMsgId }) => clientMsgId), accepted);
  assert.equal(await limited.stop(), 0);
});

test('a room that is not active takes nothing', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const socket = await ann.joined(room);
  await inactive(room);
  await until('a refusal', async () => (await ask(socket, 'sendMessage', text(room, unique('c')))).status === 'FAILED');
  assert.equal((await ann.call('GET', `/rooms/${room}/messages`)).status, 200);
});

test('without an acknowledgement the answer is an event', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const socket = await ann.joined(room);
  const accepted = event(socket, 'messageAccepted');
  socket.emit('sendMessage', text(room, 'c1'));
  assert.deepEqual(await accepted, { clientMsgId: 'c1', status: 'ACCEPTED' });
  const failed = event(socket, 'messageFailed');
  socket.emit('sendMessage', text(room, 'c2', ''));
  const { clientMsgId, status } = await failed;
  assert.deepEqual({ clientMsgId, status }, { clientMsgId: 'c2', status: 'FAILED' });
});

test('the same message again is accepted again and there once, at whichever gateway', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const [here, there] = [await ann.joined(room), await ann.at(other).joined(room)];
  const both = await Promise.all([ask(here, 'sendMessage', text(room, 'c1')), ask(there, 'sendMessage', text(room, 'c1'))]);
  const again = await ask(here, 'sendMessage', text(room, 'c1'));
  assert.deepEqual([...both, again].map(({ status }) => status), ['ACCEPTED', 'ACCEPTED', 'ACCEPTED']);
  assert.equal((await ask(here, 'sendMessage', text(room, 'last'))).status, 'ACCEPTED');
  await until('the last one', () => [here, there].every((socket) => socket.messages.some(({ content }) => content === 'last')));
  for (const socket of [here, there]) assert.deepEqual(socket.messages.map(({ content }) => content), ['c1', 'last']);
  assert.equal((await ann.call('GET', `/rooms/${room}/messages`)).body.messages.length, 2);
  // The same name belongs to its first message: the other one is not stored, and all of the sender's devices are told.
  const told = [here, there].map((socket) => event(socket, 'messageFailed'));
  await ask(here, 'sendMessage', text(room, 'c1', 'something else'));
  for (const failed of await Promise.all(told)) {
    assert.deepEqual([failed.clientMsgId, failed.status, failed.roomId], ['c1', 'FAILED', room]);
  }
});

test('what Kafka accepted and the worker refuses: the sender is told at every gateway, nobody else', async () => {
  const [ann, bob] = [stage.stranger(gateway), stage.stranger(gateway)];
  const room = await ann.room(bob);
  const mine = [await ann.joined(room), await ann.at(other).joined(room)];
  const theirs = await bob.joined(room);
  let overheard = 0;
  theirs.on('messageFailed', () => overheard++);
  assert.equal(await worker.stop(), 0);
  assert.equal((await ask(mine[0], 'sendMessage', text(room, 'late'))).status, 'ACCEPTED');
  await inactive(room);
  const told = mine.map((socket) => event(socket, 'messageFailed', 60_000));
  worker = await stage.worker();
  for (const failed of await Promise.all(told)) assert.deepEqual([failed.clientMsgId, failed.status], ['late', 'FAILED']);
  assert.equal((await ann.call('GET', `/rooms/${room}/messages`)).body.messages.length, 0);
  // What bob hears comes in order: had he been told, then before this.
  const next = await ann.room(bob);
  await ask(theirs, 'joinRoom', { roomId: next });
  await ask(theirs, 'sendMessage', text(next, 'c1'));
  await until('the next message', () => theirs.messages.length === 1);
  assert.equal(overheard, 0);
});

test('a message is not shown before it is stored', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const socket = await ann.joined(room);
  const stored = new Promise((resolve, reject) => {
    socket.once('newMessage', ({ id }) => ann.call('GET', `/rooms/${room}/messages`).then(({ body }) => resolve(body.messages.some((message) => message.id === id)), reject));
  });
  await ask(socket, 'sendMessage', text(room, 'c1'));
  assert.ok(await stored);
});

test('each device is an entry in the key of its user until it goes; the members show who is online', async () => {
  const [ann, bob] = [stage.stranger(gateway), stage.stranger(gateway)];
  const room = await ann.room(bob);
  const online = async () => (await bob.call('GET', `/rooms/${room}/members`)).body.find(({ userId }) => userId === ann.id).online;
  assert.equal(await online(), false);
  const key = `presence:user:${ann.id}`;
  const entries = async () => [...(await redis('HGETALL', key)).matchAll(/\{.*\}/g)].map(([entry]) => JSON.parse(entry));
  const [phone, desk] = [await ann.socket(), await ann.at(other).socket()];
  await until('two entries', async () => (await entries()).length === 2);
  const [one, two] = await entries();
  assert.ok(one.server !== two.server && Math.abs(Date.now() - one.connectedAt) < 60_000);
  const left = Number((await redis('PTTL', key)).match(/:(\d+)/)[1]);
  assert.ok(left > 30_000 && left <= 60_000, `${left} ms`);
  assert.ok(await online());
  assert.deepEqual(await ask(phone, 'heartbeat', {}), { success: true });
  phone.disconnect();
  await until('one entry', async () => (await entries()).length === 1);
  assert.ok(await online());
  desk.disconnect();
  await until('no entry', async () => /:0/.test(await redis('EXISTS', key)));
  await until('ann is offline', async () => !(await online()));
});

test('an event that there is not is answered, and a page of another origin may not connect', async () => {
  const ann = stage.stranger(gateway);
  const socket = await ann.socket();
  assert.equal((await ask(socket, 'dance', {})).success, false);
  const elsewhere = ann.dial({ extraHeaders: { origin: 'https://elsewhere.example' } });
  assert.match((await event(elsewhere, 'connect_error')).message, /page/);
});

test('health names the database, Redis and Kafka', async () => {
  const { status, body } = await request('GET', `${gateway.url}/health`);
  assert.equal(status, 200);
  for (const name of ['postgres', 'redis', 'kafka']) assert.equal(body.dependencies[name].status, 'ok', name);
});

/** As an operator would: this system has no path for it. */
async function inactive(room) {
  const rows = await stage.database.query('UPDATE chat.rooms SET active = false WHERE id = $1 RETURNING id', [room]);
  assert.equal(rows.length, 1);
}
