import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, ask, event, pause, say, texts, token, until } from './server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server.stop());

const TRANSPORTS = [
  ['websocket', { transports: ['websocket'] }],
  ['long polling', { transports: ['polling'], upgrade: false }],
  ['polling, then websocket', {}],
];

for (const [number, [name, options]] of TRANSPORTS.entries()) {
  test(`two people talk over ${name}`, async () => {
    const room = `talk-${number}`;
    await server.room(room, 'ann', 'bob');
    const [ann, bob] = [await server.client('ann', options), await server.client('bob', options)];
    for (const socket of [ann, bob]) {
      const joined = await ask(socket, 'join-room', { roomId: room });
      assert.equal(joined.success, true, JSON.stringify(joined));
      assert.equal(joined.data.recovered, false);
    }
    const sent = await ask(ann, 'send-message', { roomId: room, text: 'hello, bob 👋', clientMsgId: 'c1' });
    assert.equal(sent.success, true);
    // Once more, since nobody knows: it is one message.
    const again = await ask(ann, 'send-message', { roomId: room, text: 'hello, bob 👋', clientMsgId: 'c1' });
    assert.equal(again.data.id, sent.data.id);
    await ask(bob, 'send-message', { roomId: room, text: 'hello, ann' });
    for (const socket of [ann, bob]) {
      await until('both messages', () => socket.messages.length >= 2);
      assert.deepEqual(texts(socket), ['hello, bob 👋', 'hello, ann']);
      assert.deepEqual(Object.keys(socket.messages[0]).sort(), ['clientMsgId', 'createdAt', 'cursor', 'id', 'roomId', 'senderId', 'text']);
      assert.equal(socket.messages[0].id, sent.data.id);
    }
    assert.equal((await ask(bob, 'leave-room', { roomId: room })).success, true);
    await ask(ann, 'send-message', { roomId: room, text: 'are you there?' });
    await until('one’s own', () => ann.messages.length === 3);
    assert.equal(bob.messages.length, 2, 'who has left is told nothing');
  });
}

test('everybody sees one order, whoever sends and however', async () => {
  await server.room('order', 'ann', 'bob', 'cy');
  const people = await Promise.all(['ann', 'bob', 'cy'].map((user, at) => server.client(user, TRANSPORTS[at][1])));
  for (const socket of people) await ask(socket, 'join-room', { roomId: 'order' });
  const own = people.map((_, who) => Array.from({ length: 30 }, (_, number) => `${who}-${number}`));
  await Promise.all(people.map(async (socket, who) => {
    for (const text of own[who]) await say(socket, 'order', text);
  }));
  await server.rest('ann', 'POST', '/rooms/order/messages', { clientId: 'rest', text: 'the end' });
  for (const socket of people) await until('all', () => socket.messages.length >= 91);
  assert.deepEqual(texts(people[1]), texts(people[0]));
  assert.deepEqual(texts(people[2]), texts(people[0]));
  // What one sends one after the other stays so.
  for (const [who, sent] of own.entries()) assert.deepEqual(texts(people[0]).filter((text) => text.startsWith(`${who}-`)), sent);
});

test('who comes back says where they were, and gets what was said since, once and in order', async () => {
  await server.room('resume', 'ann', 'bob');
  const [ann, bob] = [await server.client('ann'), await server.client('bob')];
  await ask(bob, 'join-room', { roomId: 'resume' });
  await say(ann, 'resume', 'before');
  await until('the first', () => bob.messages.length === 1);
  const again = event(bob, 'connect');
  bob.io.engine.close();
  for (const text of ['one', 'two', 'three']) await say(ann, 'resume', text);
  await again;
  const joined = await ask(bob, 'join-room', { roomId: 'resume', after: bob.messages[0].cursor });
  assert.equal(joined.data.recovered, true);
  await say(ann, 'resume', 'after');
  await until('all', () => bob.messages.length >= 5);
  assert.deepEqual(texts(bob), ['before', 'one', 'two', 'three', 'after']);
});

test('a bad token is a connect_error that says why, wherever the token stands', async () => {
  for (const [auth, message] of [
    [{ token: 'nonsense' }, /malformed/],
    [{}, /not authenticated/],
    [{ token: token('ann', -300) }, /expired/],
  ]) {
    const socket = await server.client('ann', { auth, connects: false, reconnection: false });
    const error = await event(socket, 'connect_error');
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /nonsense/);
  }
  const inQuery = await server.client('ann', { auth: {}, query: { token: token('ann') } });
  const inHeader = await server.client('ann', { auth: {}, extraHeaders: { authorization: `Bearer ${token('ann')}` } });
  assert.ok(inQuery.connected && inHeader.connected);
});

test('what is refused says why, and changes nothing', async () => {
  await server.room('refusals', 'ann');
  const [ann, bob] = [await server.client('ann'), await server.client('bob')];
  await ask(ann, 'join-room', { roomId: 'refusals' });
  for (const [socket, name, data, reason] of [
    [bob, 'join-room', { roomId: 'refusals' }, /member/],
    [bob, 'send-message', { roomId: 'refusals', text: 'let me in' }, /member/],
    [ann, 'join-room', { roomId: 'nowhere' }, /no such room|not found|nowhere/],
    [ann, 'join-room', { roomId: 'refusals', after: 'yesterday' }, /after/],
    [ann, 'join-room', {}, /roomId/],
    [ann, 'join-room', undefined, /roomId/],
    [ann, 'send-message', { roomId: 'refusals', text: '   ' }, /blank/],
    [ann, 'send-message', { roomId: 'refusals', text: 'x'.repeat(1_001) }, /1000/],
    [ann, 'send-message', { roomId: 'refusals', text: 7 }, /text/],
    [ann, 'send-message', { roomId: 'refusals', text: 'a', clientMsgId: '' }, /clientMsgId/],
    [ann, 'dance', { roomId: 'refusals' }, /dance/],
  ]) {
    const answer = await ask(socket, name, data);
    await pause(60);
    assert.equal(answer.success, false, `${name} ${JSON.stringify(data)}`);
    assert.match(answer.message, reason);
  }
  // The same name for something else.
  await ask(ann, 'send-message', { roomId: 'refusals', text: 'first', clientMsgId: 'c' });
  const conflict = await ask(ann, 'send-message', { roomId: 'refusals', text: 'second', clientMsgId: 'c' });
  assert.equal(conflict.success, false);
  await until('the one', () => ann.messages.length === 1);
  assert.deepEqual(texts(ann), ['first']);
});

test('without an acknowledgement asked for, everything happens all the same', async () => {
  await server.room('silent', 'ann');
  const ann = await server.client('ann');
  ann.emit('join-room', { roomId: 'silent' });
  ann.emit('send-message', { roomId: 'silent', text: 'one' });
  ann.emit('send-message', { roomId: 'silent', text: 'two' });
  ann.emit('dance');
  await until('both', () => ann.messages.length === 2);
  assert.deepEqual(texts(ann), ['one', 'two'], 'in the order in which they were emitted');
});

test('who is removed is told nothing more', async () => {
  await server.room('removed', 'ann', 'bob');
  const [ann, bob] = [await server.client('ann'), await server.client('bob')];
  for (const socket of [ann, bob]) await ask(socket, 'join-room', { roomId: 'removed' });
  await server.rest('ann', 'DELETE', '/rooms/removed/members/bob');
  await say(ann, 'removed', 'he is gone');
  await until('one’s own', () => ann.messages.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(bob.messages, []);
});

test('a client that takes nothing holds up nobody, and gets everything once it goes on', async () => {
  const names = Array.from({ length: 10 }, (_, number) => `s${number}`);
  await server.room('slow', ...names, 'bob');
  const senders = await Promise.all(names.map((name) => server.client(name)));
  const bob = await server.client('bob', { transports: ['polling'], upgrade: false });
  for (const socket of [...senders, bob]) await ask(socket, 'join-room', { roomId: 'slow' });
  // Bob's next poll comes late: meanwhile more is said than Socket.IO's own buffer of 128 packets takes.
  const { transport } = bob.io.engine;
  transport._poll = () => {};
  await say(senders[0], 'slow', 'the last one before');
  await Promise.all(senders.map(async (socket, who) => {
    for (let number = 0; number < 28; number += 1) await say(socket, 'slow', `${who}-${number}`);
  }));
  await until('the others have it all', () => senders.every(({ messages }) => messages.length === 281));
  assert.ok(bob.messages.length <= 1);
  delete transport._poll;
  transport._poll();
  await until('bob, too', () => bob.messages.length >= 281);
  assert.deepEqual(texts(bob), texts(senders[3]));
});
