import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cursor, page, setup } from './harness.mjs';

test('the first frame carries the token, and the address does not', async () => {
  const chat = setup();
  await chat.connect();
  assert.deepEqual(chat.socket.sent[0], { type: 'connect', token: 'token-1', id: 1 });
  assert.equal(chat.socket.url, 'ws://host/chat/ws');
  assert.deepEqual(chat.of('state').map(({ state }) => state), ['connecting', 'connected']);
});

test('after a cut the client joins again with the cursor of the last applied entry', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.say(11);
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.sockets.length, 2);
  assert.equal(chat.last('join').cursor, cursor(11));
  chat.recovered(13);
  chat.say(12);
  chat.say(13);
  assert.deepEqual(chat.seqs(), [11, 12, 13]);
});

test('a cursor given by the application is the one joined with', async () => {
  const chat = setup();
  chat.client.join('general', { cursor: cursor(7), limit: 20 });
  await chat.connect();
  const { type, room, cursor: from, limit } = chat.last('join');
  assert.deepEqual([type, room, from, limit], ['join', 'general', cursor(7), 20]);
  chat.recovered(8);
  chat.say(8);
  assert.equal(chat.client.cursor('general'), cursor(8));
});

test('a duplicate entry is dropped', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.say(11);
  chat.say(11);
  chat.say(9);
  assert.deepEqual(chat.seqs(), [11]);
  assert.equal(chat.client.cursor('general'), cursor(11));
  assert.equal(chat.sent('join').length, 1, 'it is no reason to join again');
});

test('entries that a page holds already are dropped after it', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(6), page: page([4, 5], 6) });
  chat.say(5);
  chat.say(7);
  assert.deepEqual(chat.seqs(), [7]);
});

test('an edit folded into a page is dropped after it, even where it is the newest entry', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  const read = page([4], 6);
  read.entries[0].edited = { seq: 6, at: 't' };
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(6), page: read });
  chat.say(6, { kind: 'edit', target: 'm4' });
  chat.say(7);
  assert.deepEqual(chat.seqs(), [7]);
});

test('a gap right behind a page is noticed by the number of its head', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(6), page: page([4, 5], 6) });
  chat.say(8);
  assert.deepEqual(chat.seqs(), []);
  assert.equal(chat.last('join').cursor, cursor(6));
});

test('a gap is not applied: the client joins again with its cursor', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.say(12);
  assert.deepEqual(chat.seqs(), []);
  assert.equal(chat.sent('join').length, 2);
  assert.equal(chat.last('join').cursor, cursor(10));
  chat.recovered(12);
  chat.say(11);
  chat.say(12);
  assert.deepEqual(chat.seqs(), [11, 12]);
});

test('a gap that stays is asked about with growing pauses, not in a loop', async () => {
  const chat = setup();
  await chat.inRoom(10);
  for (let i = 0; i < 50; i++) {
    chat.say(12);
    chat.recovered(12);
  }
  assert.equal(chat.sent('join').length, 2);
  await chat.timers.advance(1500);
  assert.equal(chat.sent('join').length, 3);
  chat.recovered(12);
  chat.say(11);
  chat.say(13);
  assert.equal(chat.sent('join').length, 4, 'after progress, the next gap is asked about at once');
});

test('joins that are refused wait longer and longer, until a new connection', async () => {
  const chat = setup({ heartbeat: 1000 });
  await chat.inRoom(10);
  chat.client.join('other');
  const refuse = () => chat.fail(chat.last('join'), 'unavailable', { retryable: true });
  for (const wait of [250, 500, 1000]) {
    refuse();
    const before = chat.sent('join').length;
    await chat.timers.advance(wait - 1);
    assert.equal(chat.sent('join').length, before);
    await chat.timers.advance(1);
    assert.equal(chat.sent('join').length, before + 1);
  }
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  refuse();
  await chat.timers.advance(250);
  assert.equal(chat.sent('join').length, 3, 'the two rooms, and the second again');
});

test('a lost last message is found by the heads', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'heads', heads: { general: cursor(11) } });
  await chat.timers.advance(2_999);
  assert.equal(chat.sent('join').length, 1);
  await chat.timers.advance(2);
  assert.equal(chat.sent('join').length, 2);
  assert.equal(chat.last('join').cursor, cursor(10));
});

test('a head that does not come is asked about with growing pauses', async () => {
  const chat = setup({ heartbeat: 1000 });
  await chat.inRoom(10);
  const joins = [];
  chat.socket.say({ type: 'heads', heads: { general: cursor(11) } });
  for (let seconds = 1; seconds <= 120; seconds++) {
    const before = chat.sent('join').length;
    await chat.timers.advance(1_000);
    if (chat.sent('join').length > before) {
      joins.push(seconds);
      chat.recovered(11);
    }
  }
  assert.deepEqual(joins, [3, 9, 21, 45, 75, 105]);
});

test('a head that is reached in time asks for nothing', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'heads', heads: { general: cursor(12), elsewhere: cursor(3) } });
  await chat.timers.advance(2_000);
  chat.say(11);
  await chat.timers.advance(2_000);
  chat.say(12);
  await chat.timers.advance(10_000);
  assert.equal(chat.sent('join').length, 1);
});

test('a catch-up that stops before its head is begun again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.say(12);
  chat.recovered(12);
  chat.say(11);
  await chat.timers.advance(3_001);
  assert.equal(chat.sent('join').length, 3);
  assert.equal(chat.last('join').cursor, cursor(11));
});

test('limited moves the cursor to the page and goes on behind it', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.say(12);
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'limited', cursor: cursor(5000), page: page([4990, 4991], 5000), hole: { after: cursor(10), before: cursor(4990) } });
  assert.equal(chat.client.cursor('general'), cursor(5000));
  chat.say(5001);
  assert.deepEqual(chat.seqs(), [5001]);
  assert.equal(chat.of('joined').at(-1).outcome, 'limited');
});

test('the outcome reset begins again with small numbers', async () => {
  const chat = setup();
  await chat.inRoom(1000);
  chat.say(1002);
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'reset', cursor: 'F.3', page: page([2, 3], 3, { cursor: 'F.3' }) });
  chat.say(4, { cursor: 'F.4' });
  assert.deepEqual(chat.seqs(), [4]);
  assert.equal(chat.client.cursor('general'), 'F.4');
});

test('a reset event begins again with small numbers', async () => {
  const chat = setup();
  await chat.inRoom(1000);
  chat.socket.say({ type: 'reset', room: 'general', cursor: 'F.0', page: page([], 0, { cursor: 'F.0' }) });
  chat.say(1, { cursor: 'F.1' });
  assert.equal(chat.of('reset').length, 1);
  assert.deepEqual(chat.seqs(), [1]);
});

test('a resync with a page is limited over again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'resync', room: 'general', cursor: cursor(90), page: page([88, 89], 90), hole: { after: cursor(10), before: cursor(88) } });
  assert.equal(chat.client.cursor('general'), cursor(90));
  chat.say(91);
  chat.say(93);
  assert.deepEqual(chat.seqs(), [91]);
  assert.equal(chat.last('join').cursor, cursor(91));
});

test('a resync with a hole alone keeps the cursor, and its entries follow', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'resync', room: 'general', cursor: cursor(12), hole: { after: cursor(10), before: cursor(13) } });
  assert.equal(chat.client.cursor('general'), cursor(10));
  chat.say(11);
  chat.say(12);
  chat.say(13);
  assert.deepEqual(chat.seqs(), [11, 12, 13]);
  assert.equal(chat.of('resync').length, 1);
});

test('a room that is joined or being joined is not joined twice, except from another cursor', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  chat.client.join('general');
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(6), page: page([6], 6) });
  chat.client.join('general');
  chat.client.join('general', { cursor: cursor(6) });
  assert.equal(chat.sent('join').length, 1);
  chat.client.join('general', { cursor: cursor(4) });
  assert.equal(chat.last('join').cursor, cursor(4));
  chat.say(7);
  assert.deepEqual(chat.seqs(), [], 'still of the subscription before');
  chat.recovered(7);
  for (const seq of [5, 6, 7]) chat.say(seq);
  assert.deepEqual(chat.seqs(), [5, 6, 7]);
});

test('after limited the pages go on from the hole, and nothing before the page comes again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  const hole = { after: cursor(10), before: cursor(4990) };
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'limited', cursor: cursor(4991), page: page([4990, 4991], 4991), hole });
  chat.say(11);
  chat.say(4991);
  assert.deepEqual(chat.seqs(), []);
  assert.deepEqual(chat.of('joined')[0].hole, hole);
  const history = chat.client.request('history', { room: 'general', before: hole.before });
  chat.answer(chat.last('history'), { type: 'history', page: page([4988, 4989], 4991) });
  await history;
  assert.equal(chat.client.cursor('general'), cursor(4991), 'paging back moves no position');
  chat.say(4992);
  assert.deepEqual(chat.seqs(), [4992]);
});

test('many rooms refused together are joined again when the server says', async () => {
  const chat = setup();
  await chat.connect();
  for (let i = 0; i < 5; i++) chat.client.join(`room-${i}`);
  for (const join of chat.sent('join')) chat.fail(join, 'rate_limited', { retryable: true, retryAfterMs: 400 });
  await chat.timers.advance(399);
  assert.equal(chat.sent('join').length, 5);
  await chat.timers.advance(1);
  assert.equal(chat.sent('join').length, 10);
  assert.equal(chat.of('left').length, 0);
});

test('a room left while its join is under way stays left', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  const join = chat.last('join');
  chat.client.leave('general');
  assert.equal(chat.sent('leave').length, 1);
  chat.answer(join, { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(1), page: page([1], 1) });
  chat.say(2);
  assert.deepEqual(chat.of('joined').concat(chat.of('entry')), []);
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.sent('join').length, 0);
});

test('a room joined anew after leaving takes nothing from its earlier life', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.leave('general');
  chat.client.join('general');
  chat.say(11);
  assert.deepEqual(chat.seqs(), []);
  assert.equal(chat.last('join').cursor, undefined);
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(11), page: page([11], 11) });
  chat.say(12);
  assert.deepEqual(chat.seqs(), [12]);
});

test('a busy join is tried again, a forbidden one ends the room', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.join('general');
  chat.fail(chat.last('join'), 'busy', { retryable: true, retryAfterMs: 700 });
  await chat.timers.advance(699);
  assert.equal(chat.sent('join').length, 1);
  await chat.timers.advance(1);
  assert.equal(chat.sent('join').length, 2);
  chat.fail(chat.last('join'), 'forbidden');
  assert.equal(chat.of('left')[0].reason, 'forbidden');
  await chat.timers.advance(20_000);
  assert.equal(chat.sent('join').length, 2);
});

test('a room the server ended is not joined again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'left', room: 'general', reason: 'removed' });
  assert.equal(chat.of('left')[0].reason, 'removed');
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.sent('join').length, 0);
});

test('unknown frames, unknown fields and broken frames are ignored', async () => {
  const chat = setup();
  await chat.inRoom(10);
  for (const frame of [{ type: 'fireworks', room: 'general' }, 'not json', '[]', 'null', '7', { no: 'type' }, { type: 'entry' }, { type: 'heads' }, { type: 'ok', reply: 999 }]) chat.socket.say(frame);
  chat.socket.onmessage({ data: new ArrayBuffer(4) });
  chat.say(11, { surprise: { deep: true } });
  assert.deepEqual(chat.events.map(({ event }) => event), ['entry']);
  assert.equal(chat.client.state, 'connected');
});

test('events of a room are handed on', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'typing', room: 'general', user: 'bob', active: true });
  chat.socket.say({ type: 'typing', room: 'not-joined', user: 'bob', active: true });
  chat.socket.say({ type: 'signal', room: 'general', user: 'bob', name: 'ring', data: 1 });
  chat.socket.say({ type: 'read', room: 'general', user: 'bob', cursor: cursor(10) });
  chat.socket.say({ type: 'presence', users: [{ user: 'bob', online: true }] });
  chat.socket.say({ type: 'room', room: { id: 'general' } });
  chat.socket.say({ type: 'member', room: 'general', member: { user: 'bob' } });
  chat.socket.say({ type: 'noticesLost' });
  assert.deepEqual(chat.events.map(({ event }) => event), ['typing', 'signal', 'read', 'presence', 'room', 'member', 'noticesLost']);
});
