// What goes over Socket.IO.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { event, jwt, until } from '../server.mjs';
import { Shop, ask, done, refused, texts, token } from './shop.mjs';

let shop;
before(async () => {
  shop = await Shop.open();
  await shop.store('7', 'sue', 'Sue’s flowers');
});
after(() => shop.close());

for (const transports of [['websocket'], ['polling'], ['websocket', 'polling']]) {
  test(`a buyer and a store talk (${transports})`, async () => {
    const buyer = `bea-${transports.join('-')}`;
    const { id: roomId } = await shop.room(buyer, '7');
    const [bea, phone, sue] = [
      await shop.client(buyer, { transports }),
      await shop.client(buyer, { transports }),
      await shop.client('sue', { role: 'SELLER', transports }),
    ];
    for (const socket of [bea, phone, sue]) assert.equal((await done(socket, 'join-room', { roomId })).roomId, roomId);
    const first = await done(bea, 'send-message', { roomId, text: 'Are the tulips fresh? 🌷' });
    const second = await done(sue, 'send-message', { roomId, text: 'Cut this morning.' });
    for (const socket of [bea, phone, sue]) {
      await until('both messages', () => socket.messages.length === 2);
      const [asked, answered] = socket.messages;
      assert.equal(asked.id, first.id);
      assert.equal(answered.id, second.id);
      const { text, senderId, senderType, createdAt } = asked;
      assert.deepEqual({ text, senderId, senderType }, { text: 'Are the tulips fresh? 🌷', senderId: buyer, senderType: 'USER' });
      assert.equal(asked.roomId, roomId);
      assert.equal(new Date(createdAt).toISOString(), createdAt);
      assert.deepEqual([answered.senderId, answered.senderType], ['sue', 'STORE']);
    }
    // Who left is told no more, on that device alone.
    await done(phone, 'leave-room', { roomId });
    await done(bea, 'send-message', { roomId, text: 'Two bunches, please.' });
    await until('the third', () => bea.messages.length === 3 && sue.messages.length === 3);
    await done(phone, 'join-room', { roomId });
    await done(bea, 'send-message', { roomId, text: 'And a vase.' });
    await until('the fourth', () => phone.messages.length === 3 && bea.messages.length === 4);
    assert.deepEqual(texts(phone.messages), ['Are the tulips fresh? 🌷', 'Cut this morning.', 'And a vase.']);
    assert.equal(phone.io.engine.transport.name, transports[0]);
  });
}

test('a client that asks for no acknowledgement is heard all the same', async () => {
  const { id: roomId } = await shop.room('quiet', '7');
  const socket = await shop.client('quiet');
  socket.emit('join-room', { roomId });
  socket.emit('send-message', { roomId, text: 'hello' });
  await until('hello', () => texts(socket.messages).includes('hello'));
});

test('the token is taken from the query, from auth and from the header', async () => {
  const given = token('bea');
  for (const options of [
    { auth: {}, query: { token: given } },
    { auth: { token: given } },
    { auth: {}, extraHeaders: { Authorization: `Bearer ${given}` } },
  ]) {
    for (const transports of [['websocket'], ['polling']]) await shop.client('nobody', { ...options, transports });
  }
});

test('a bad or missing token is refused as connect_error', async () => {
  const wrong = [
    undefined,
    '',
    'nonsense',
    token('bea', 'USER', { secret: 'another secret that is long enough as well' }),
    token('bea', 'USER', { seconds: -3600 }),
    token('bea', 'GUEST'),
    jwt({ sub: 'bea' }),
    jwt({ role: 'USER' }),
    `${token('bea').split('.').slice(0, 2).join('.')}.`,
  ];
  for (const given of wrong) {
    for (const transports of [['websocket'], ['polling']]) {
      const auth = given === undefined ? {} : { token: given };
      const socket = await shop.client('nobody', { connects: false, auth, transports, reconnection: false });
      const message = await refused(socket);
      assert.ok(message.length > 0);
      assert.ok(!given || given.length < 20 || !message.includes(given));
    }
  }
});

test('every role connects', async () => {
  for (const role of ['USER', 'SELLER', 'ADMIN']) await shop.client('anyone', { role });
});

test('strangers neither join nor send, whatever their role', async () => {
  const { id: roomId } = await shop.room('bea', '7');
  const bea = await shop.client('bea');
  await done(bea, 'join-room', { roomId });
  for (const role of ['USER', 'SELLER', 'ADMIN']) {
    const stranger = await shop.client('mallory', { role });
    for (const room of [roomId, 'no-such-room']) {
      const join = await ask(stranger, 'join-room', { roomId: room });
      assert.equal(join.success, false);
      assert.equal(join.data.code, 'not_a_member');
      const send = await ask(stranger, 'send-message', { roomId: room, text: 'let me in' });
      assert.equal(send.success, false);
    }
    assert.deepEqual(stranger.messages, []);
  }
  await done(bea, 'send-message', { roomId, text: 'only mine' });
  await until('mine', () => bea.messages.length === 1);
  assert.deepEqual(texts(await shop.all('bea', roomId)), ['only mine']);
});

test('a forged sender counts for nothing', async () => {
  const { id: roomId } = await shop.room('forger', '7');
  const socket = await shop.client('forger', { role: 'ADMIN' });
  await done(socket, 'join-room', { roomId });
  await done(socket, 'send-message', { roomId, text: 'all free today', senderId: 'sue', senderType: 'STORE', role: 'SELLER' });
  await until('it', () => socket.messages.length === 1);
  assert.deepEqual([socket.messages[0].senderId, socket.messages[0].senderType], ['forger', 'USER']);
});

test('a text has 1 to 1,000 characters, whatever their bytes, and not only white space', async () => {
  const { id: roomId } = await shop.room('longwinded', '7');
  const socket = await shop.client('longwinded');
  const taken = ['x', 'x'.repeat(1_000), '🌷'.repeat(1_000), ' x '];
  for (const text of taken) await done(socket, 'send-message', { roomId, text });
  const wrong = ['', ' ', '\n\t\u00a0\u2003', 'x'.repeat(1_001), '🌷'.repeat(1_001), 5, null, undefined, { a: 1 }, ['x'], 'zero\u0000'];
  for (const text of wrong) {
    const answer = await ask(socket, 'send-message', { roomId, text });
    assert.equal(answer.success, false, JSON.stringify(text));
    assert.ok(answer.message.length > 0);
  }
  // What failed left no trace: no message, no preview, nothing unread.
  assert.deepEqual(texts(await shop.all('longwinded', roomId)), taken);
  const { body } = await shop.rest('sue', 'GET', '/seller/chat-room/store/7', { role: 'SELLER' });
  const room = body.find(({ id }) => id === roomId);
  assert.deepEqual([room.lastMessage, room.unreadCount], [' x ', 4]);
});

test('payloads of another form are refused and end nothing', async () => {
  const { id: roomId } = await shop.room('clumsy', '7');
  const socket = await shop.client('clumsy');
  for (const [name, data] of [
    ['join-room', {}], ['join-room', null], ['join-room', 'text'], ['join-room', { roomId: 7 }], ['join-room', { roomId: 'two words' }],
    ['join-room', { roomId, after: 'no cursor' }], ['leave-room', {}], ['send-message', { text: 'x' }], ['send-message', { roomId }],
    ['send-message', { roomId, text: 'x', clientMsgId: 'two words' }], ['send-message', { roomId, text: 'x', clientMsgId: '!mine' }],
    ['send-message', { roomId, text: 'x', clientMsgId: 'imported:1' }], ['delete-everything', { roomId }],
  ]) {
    const answer = await ask(socket, name, data);
    assert.equal(answer.success, false, `${name} ${JSON.stringify(data)}`);
    assert.equal(typeof answer.message, 'string');
  }
  assert.deepEqual(await shop.all('clumsy', roomId), []);
  await done(socket, 'send-message', { roomId, text: 'still there' });
});

test('an event that is too large ends its connection, not the server', async () => {
  const { id: roomId } = await shop.room('huge', '7');
  const socket = await shop.client('huge', { transports: ['websocket'] });
  const gone = event(socket, 'disconnect');
  socket.emit('send-message', { roomId, text: 'x'.repeat(1_000_000) });
  await gone;
  const other = await shop.client('huge');
  await done(other, 'send-message', { roomId, text: 'small' });
  assert.deepEqual(texts(await shop.all('huge', roomId)), ['small']);
});

test('a message sent again under its name is the same one, and another under that name is refused', async () => {
  const { id: roomId } = await shop.room('again', '7');
  const sockets = [await shop.client('again'), await shop.client('again', { transports: ['polling'] })];
  for (const socket of sockets) await done(socket, 'join-room', { roomId });
  const message = { roomId, text: 'once', clientMsgId: 'c-1' };
  const answers = await Promise.all([...sockets, ...sockets].map((socket) => done(socket, 'send-message', message)));
  assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
  assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
  const other = await ask(sockets[0], 'send-message', { ...message, text: 'twice' });
  assert.deepEqual([other.success, other.data.code], [false, 'client_id_conflict']);
  await done(sockets[0], 'send-message', { roomId, text: 'last' });
  for (const socket of sockets) {
    await until('the last', () => texts(socket.messages).includes('last'));
    assert.deepEqual(texts(socket.messages), ['once', 'last']);
    assert.equal(socket.messages[0].clientMsgId, 'c-1');
  }
});

test('what was said while a client was away is in the history, and after its cursor', async () => {
  const { id: roomId } = await shop.room('away', '7');
  const [away, sue] = [await shop.client('away'), await shop.client('sue', { role: 'SELLER' })];
  await done(away, 'join-room', { roomId });
  await done(sue, 'send-message', { roomId, text: 'one' });
  await until('one', () => away.messages.length === 1);
  const { cursor } = away.messages[0];
  away.disconnect();
  for (const text of ['two', 'three']) await done(sue, 'send-message', { roomId, text });
  const back = event(away, 'connect');
  away.connect();
  await back;
  // As clients do today: join again, and read the history.
  await done(away, 'join-room', { roomId });
  assert.deepEqual(texts(await shop.all('away', roomId)), ['one', 'two', 'three']);
  await done(sue, 'send-message', { roomId, text: 'four' });
  await until('four', () => away.messages.length === 2);
  assert.deepEqual(texts(away.messages), ['one', 'four']);
  // With the cursor of the last message, the rest comes by itself.
  const tablet = await shop.client('away');
  assert.equal((await done(tablet, 'join-room', { roomId, after: cursor })).recovered, true);
  await until('the rest', () => tablet.messages.length === 3);
  assert.deepEqual(texts(tablet.messages), ['two', 'three', 'four']);
});

test('an inactive room can be read and takes no messages', async () => {
  const { id: roomId } = await shop.room('late', '7');
  const socket = await shop.client('late');
  await done(socket, 'send-message', { roomId, text: 'in time' });
  await shop.database.query('UPDATE chat.rooms SET active = false WHERE id = $1', [roomId]);
  const answer = await ask(socket, 'send-message', { roomId, text: 'too late' });
  assert.deepEqual([answer.success, answer.data.code], [false, 'room_inactive']);
  assert.deepEqual(texts(await shop.all('late', roomId)), ['in time']);
});

test('a session ends with its token', async () => {
  const socket = await shop.client('brief', { auth: { token: token('brief', 'USER', { seconds: -25 }) }, reconnection: false });
  assert.equal(await event(socket, 'disconnect'), 'io server disconnect');
});
