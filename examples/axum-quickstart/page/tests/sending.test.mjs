import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cursor, entry, page, settled, setup } from './harness.mjs';

const texts = (chat) => chat.sent('send').map(({ text }) => text);

test('a message is sent with the clientId that send gave back, and confirmed', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  assert.deepEqual(chat.events, [], 'the caller learns the clientId before any event');
  await settled();
  const frame = chat.last('send');
  assert.deepEqual([frame.clientId, frame.text, frame.room], [clientId, 'hello', 'general']);
  chat.confirm(frame, 11);
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
  assert.equal(chat.of('outbox').at(-1).position.cursor, cursor(11));
  assert.equal(chat.client.cursor('general'), cursor(10), 'an answer does not move the cursor');
});

test('after a lost answer the same clientId and payload are sent again, and a duplicate confirms', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  await settled();
  const { id, ...first } = chat.last('send');
  chat.socket.cut();
  assert.deepEqual(chat.states(clientId), ['sending']);
  await chat.timers.advance(500);
  await chat.welcome();
  const { id: another, ...second } = chat.last('send');
  assert.deepEqual(second, first);
  chat.confirm(chat.last('send'), 11, { duplicate: true });
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
  assert.equal(chat.of('outbox').at(-1).position.duplicate, true);
  assert.ok(id && another);
});

test('the own entry confirms before its answer, and the answer adds nothing', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  await settled();
  chat.say(11, { sender: 'ann', clientId });
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
  chat.confirm(chat.last('send'), 11);
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
});

test('the entry of another user with the same clientId confirms nothing', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  await settled();
  chat.say(11, { sender: 'bob', clientId });
  assert.deepEqual(chat.states(clientId), ['sending']);
});

test('the own entry of another room with the same clientId confirms nothing', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('other', { text: 'hello' });
  await settled();
  chat.say(11, { sender: 'ann', clientId });
  assert.deepEqual(chat.states(clientId), ['sending']);
});

test('what a lost connection left open goes out at once on the next one', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.send('general', { text: 'one' });
  await settled();
  chat.socket.cut();
  chat.client.start();
  await chat.welcome();
  assert.deepEqual(texts(chat), ['one']);
});

test('an own message found on a page is not sent again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  await settled();
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  const found = page([4000], 4000);
  Object.assign(found.entries[0], { sender: 'ann', clientId });
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'limited', cursor: cursor(4000), page: found });
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
  chat.fail(chat.last('send'), 'busy', { retryable: true });
  await chat.timers.advance(20_000);
  assert.equal(chat.sent('send').length, 1);
});

test('an own message found in the history is not sent again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'hello' });
  await settled();
  const history = chat.client.request('history', { room: 'general' });
  const found = page([11], 11);
  Object.assign(found.entries[0], { sender: 'ann', clientId });
  chat.answer(chat.last('history'), { type: 'history', page: found });
  await history;
  assert.deepEqual(chat.states(clientId), ['sending', 'sent']);
});

test('what is written without a connection goes out in its order, after the join', async () => {
  const chat = setup();
  chat.client.join('general');
  for (const text of ['one', 'two', 'three']) chat.client.send('general', { text });
  await chat.connect();
  assert.deepEqual(chat.socket.sent.map(({ type }) => type), ['connect', 'join', 'send']);
  chat.confirm(chat.last('send'), 1);
  chat.confirm(chat.last('send'), 2);
  assert.deepEqual(texts(chat), ['one', 'two', 'three']);
});

test('a message does not overtake one that was refused as busy', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const first = chat.client.send('general', { text: 'one' });
  chat.client.send('general', { text: 'two' });
  await settled();
  chat.fail(chat.last('send'), 'busy', { retryable: true, retryAfterMs: 400 });
  await chat.timers.advance(399);
  chat.client.send('general', { text: 'three' });
  await settled();
  assert.deepEqual(texts(chat), ['one']);
  await chat.timers.advance(1);
  assert.deepEqual(texts(chat), ['one', 'one']);
  chat.confirm(chat.last('send'), 11);
  assert.deepEqual(texts(chat), ['one', 'one', 'two']);
  assert.deepEqual(chat.states(first), ['sending', 'sent']);
});

test('rooms do not wait for each other', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.send('a', { text: 'one' });
  chat.client.send('b', { text: 'two' });
  await settled();
  assert.deepEqual(texts(chat), ['one', 'two']);
});

test('an answer that never comes means unknown: the message is sent again', async () => {
  const chat = setup({ heartbeat: 1000 });
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  await chat.timers.advance(15_000 + 250);
  assert.deepEqual(texts(chat), ['one', 'one']);
  assert.equal(chat.last('send').clientId, clientId);
  assert.deepEqual(chat.states(clientId), ['sending']);
});

for (const code of ['rate_limited', 'timeout', 'unavailable']) {
  test(`${code} is tried again with back-off`, async () => {
    const chat = setup();
    await chat.inRoom(10);
    const clientId = chat.client.send('general', { text: 'one' });
    await settled();
    for (const wait of [250, 500, 1000]) {
      const before = texts(chat).length;
      chat.fail(chat.last('send'), code, { retryable: true });
      await chat.timers.advance(wait - 1);
      assert.equal(texts(chat).length, before);
      await chat.timers.advance(1);
      assert.equal(texts(chat).length, before + 1);
    }
    assert.deepEqual(chat.states(clientId), ['sending']);
  });
}

test('a final error marks the message failed and lets the next one go', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const first = chat.client.send('general', { text: 'one' });
  chat.client.send('general', { text: 'two' });
  await settled();
  chat.fail(chat.last('send'), 'body_too_long', { clientId: first });
  assert.deepEqual(chat.states(first), ['sending', 'failed']);
  const { error } = chat.of('outbox').find(({ state }) => state === 'failed');
  assert.deepEqual([error.code, error.retryable], ['body_too_long', false]);
  assert.deepEqual(texts(chat), ['one', 'two']);
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.deepEqual(texts(chat), ['two'], 'what failed is not resent by itself');
});

test('an error that names the message but no command is taken for its answer', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  chat.socket.say({ type: 'error', code: 'rejected', message: 'no', retryable: false, clientId });
  assert.deepEqual(chat.states(clientId), ['sending', 'failed']);
});

test('retry sends a failed message again with the same clientId', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  chat.fail(chat.last('send'), 'unavailable', { retryable: true });
  await chat.timers.advance(250);
  chat.fail(chat.last('send'), 'room_inactive');
  assert.equal(chat.client.retry(clientId), true);
  await settled();
  assert.equal(chat.last('send').clientId, clientId);
  chat.fail(chat.last('send'), 'unavailable', { retryable: true });
  await chat.timers.advance(250);
  chat.confirm(chat.last('send'), 11);
  assert.deepEqual(chat.states(clientId), ['sending', 'failed', 'sending', 'sent']);
  assert.equal(chat.client.retry(clientId), false);
});

test('a message that is sent again stands behind those that wait', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const first = chat.client.send('general', { text: 'one' });
  for (const text of ['two', 'three']) chat.client.send('general', { text });
  await settled();
  chat.fail(chat.last('send'), 'rejected');
  chat.client.retry(first);
  for (let seq = 11; seq <= 13; seq++) {
    await settled();
    chat.confirm(chat.last('send'), seq);
  }
  assert.deepEqual(texts(chat), ['one', 'two', 'three', 'one']);
  assert.deepEqual(chat.client.unsent(), []);
});

test('a discarded message is not sent, and the next one is', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.send('general', { text: 'one' });
  const second = chat.client.send('general', { text: 'two' });
  chat.client.send('general', { text: 'three' });
  await settled();
  assert.equal(chat.client.discard(second), true);
  chat.confirm(chat.last('send'), 11);
  assert.deepEqual(texts(chat), ['one', 'three']);
  assert.equal(chat.client.discard('unknown'), false);
});

test('edits, deletes and reactions go through the same outbox in the order written', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.edit('general', 'm3', { text: 'better' });
  chat.client.react('general', 'm3', '👍');
  chat.client.react('general', 'm3', '👍', 'remove');
  chat.client.delete('general', 'm3');
  await settled();
  const frames = [];
  for (let seq = 11; seq <= 14; seq++) {
    frames.push(chat.socket.sent.at(-1));
    chat.confirm(chat.socket.sent.at(-1), seq);
  }
  assert.deepEqual(frames.map(({ type, op, target }) => [type, op, target]), [['edit', undefined, 'm3'], ['react', 'add', 'm3'], ['react', 'remove', 'm3'], ['delete', undefined, 'm3']]);
  assert.equal(new Set(frames.map(({ clientId }) => clientId)).size, 4);
});

test('a message longer than a frame may be fails here and costs no connection', async () => {
  const chat = setup({ hello: { limits: { frameBytes: 200 } } });
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'ü'.repeat(100) });
  await settled();
  assert.equal(chat.sent('send').length, 0);
  assert.equal(chat.of('outbox').at(-1).error.code, 'frame_too_large');
  assert.deepEqual(chat.states(clientId), ['sending', 'failed']);
});

test('the outbox is bounded', async () => {
  for (const [maxUnsent, most] of [[undefined, 1000], [3, 3]]) {
    const chat = setup({ maxUnsent });
    for (let i = 0; i < most; i++) chat.client.send('general', { text: 'x' });
    const clientId = chat.client.send('general', { text: 'one too many' });
    await settled();
    assert.deepEqual(chat.states(clientId), ['failed']);
    const { error, text } = chat.of('outbox').at(-1);
    assert.deepEqual([error.code, error.retryable, text], ['outbox_full', false, 'one too many']);
    assert.equal(chat.client.unsent().length, most);
  }
});

test('an expired token in answer to a message brings a new one and then the message again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  chat.fail(chat.last('send'), 'token_expired');
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-2');
  assert.equal(chat.last('send').clientId, clientId);
  assert.deepEqual(chat.states(clientId), ['sending']);
});

test('what one user wrote is not sent in the name of another', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome({ user: 'eve' });
  assert.equal(chat.sent('send').length, 0);
  assert.equal(chat.states(clientId).at(-1), 'failed');
});

test('the newest read position of a room is kept until the server has it', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.read('general', cursor(9));
  chat.client.read('general', cursor(10));
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.deepEqual(chat.sent('read').map((frame) => frame.cursor), [cursor(10)]);
  chat.answer(chat.last('read'), { type: 'ok' });
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.sent('read').length, 0);
});

test('read positions go forward only, by the numbers of entries and of the cursor', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const read = (position) => {
    chat.client.read('general', position);
    const last = chat.last('read');
    if (last) chat.answer(last, { type: 'ok' });
    return chat.sent('read').map((frame) => frame.cursor);
  };
  assert.deepEqual(read(entry(8)), [cursor(8)]);
  assert.deepEqual(read(entry(7)), [cursor(8)]);
  assert.deepEqual(read(cursor(10)), [cursor(8), cursor(10)], 'where the room stands');
  assert.deepEqual(read(entry(9)), [cursor(8), cursor(10)]);
  chat.socket.say({ type: 'reset', room: 'general', cursor: 'F.1', page: page([], 1, { cursor: 'F.1' }) });
  assert.deepEqual(read({ cursor: 'F.1', seq: 1 }), [cursor(8), cursor(10), 'F.1'], 'the numbers begin anew');
});

test('while a read position is on its way only the newest waits', async () => {
  const chat = setup();
  await chat.inRoom(10);
  for (let seq = 1; seq <= 10; seq++) chat.client.read('general', entry(seq));
  assert.deepEqual(chat.sent('read').map((frame) => frame.cursor), [cursor(1)]);
  chat.answer(chat.last('read'), { type: 'ok' });
  assert.deepEqual(chat.sent('read').map((frame) => frame.cursor), [cursor(1), cursor(10)]);
  chat.answer(chat.last('read'), { type: 'ok' });
  assert.equal(chat.sent('read').length, 2);
});

test('a busy read position is told again, an expired one is not', async () => {
  const chat = setup({ heartbeat: 1000 });
  await chat.inRoom(10);
  chat.client.read('general', cursor(10));
  chat.fail(chat.last('read'), 'busy', { retryable: true, retryAfterMs: 300 });
  await chat.timers.advance(300);
  assert.equal(chat.sent('read').length, 2);
  chat.fail(chat.last('read'), 'cursor_expired');
  await chat.timers.advance(60_000);
  assert.equal(chat.sent('read').length, 2);
});

test('what was read before the first connection is told on it', async () => {
  const chat = setup();
  chat.client.read('general', entry(3));
  await chat.connect();
  assert.deepEqual(chat.sent('read').map((frame) => frame.cursor), [cursor(3)]);
});

test('typing is told only in a joined room, and never later', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.typing('general', true);
  chat.client.join('general');
  chat.client.typing('general', true);
  assert.equal(chat.sent('typing').length, 0);
  chat.answer(chat.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(1), page: page([1], 1) });
  chat.client.typing('general', false);
  assert.deepEqual(chat.sent('typing'), [{ type: 'typing', room: 'general', active: false }]);
});

test('a position whose number is unknown does not take the place of one that waits', async () => {
  const chat = setup();
  await chat.inRoom(50);
  chat.socket.cut();
  chat.client.read('general', { cursor: cursor(50), seq: 50 });
  chat.client.read('general', cursor(40));
  chat.client.read('general', cursor(40));
  await chat.timers.advance(500);
  await chat.welcome();
  const sent = () => chat.sent('read').map((frame) => frame.cursor);
  assert.deepEqual(sent(), [cursor(50)]);
  chat.answer(chat.last('read'), { type: 'ok' });
  assert.deepEqual(sent(), [cursor(50), cursor(40)], 'the server knows which of them is further');
  chat.answer(chat.last('read'), { type: 'ok' });
  assert.equal(sent().length, 2);
});

test('of positions without a number only a few wait', async () => {
  const chat = setup();
  await chat.inRoom(50);
  chat.socket.cut();
  for (let seq = 1; seq <= 30; seq++) chat.client.read('general', cursor(seq));
  chat.client.read('general', { cursor: cursor(49), seq: 49 });
  await chat.timers.advance(500);
  await chat.welcome();
  for (let answered = 0; answered < chat.sent('read').length; answered++) chat.answer(chat.sent('read')[answered], { type: 'ok' });
  assert.deepEqual(chat.sent('read').map((frame) => frame.cursor), [...[23, 24, 25, 26, 27, 28, 29, 30].map(cursor), cursor(49)]);
});

const accept = (chat, frame) => chat.answer(frame, { type: 'sent', clientId: frame.clientId, duplicate: false, durability: 'accepted' });
const failLate = (chat, clientId, more) =>
  chat.socket.say({ type: 'sendFailed', room: 'general', clientId, code: 'not_a_member', message: 'not a member', retryable: false, ...more });

test('what is only accepted holds up nothing, and is sent with its entry', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const [first, second] = ['one', 'two'].map((text) => chat.client.send('general', { text }));
  await settled();
  accept(chat, chat.last('send'));
  await settled();
  assert.deepEqual(texts(chat), ['one', 'two'], 'the next one does not wait for the store');
  assert.deepEqual(chat.states(first), ['sending', 'accepted']);
  assert.equal(chat.client.unsent('general')[0].state, 'accepted');
  accept(chat, chat.last('send'));
  chat.say(11, { sender: 'ann', clientId: first });
  chat.say(12, { sender: 'ann', clientId: second });
  assert.deepEqual(chat.states(first), ['sending', 'accepted', 'sent']);
  assert.equal(chat.of('outbox').at(-1).position.cursor, cursor(12));
  assert.deepEqual(chat.client.unsent(), []);
});

test('what was accepted and is refused after all has failed, and may be tried again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  accept(chat, chat.last('send'));
  failLate(chat, clientId, { room: 'another' });
  failLate(chat, 'of another device');
  assert.deepEqual(chat.states(clientId), ['sending', 'accepted']);
  failLate(chat, clientId);
  assert.deepEqual(chat.states(clientId), ['sending', 'accepted', 'failed']);
  assert.equal(chat.of('outbox').at(-1).error.code, 'not_a_member');
  assert.ok(chat.client.retry(clientId));
  await settled();
  assert.deepEqual(texts(chat), ['one', 'one']);
  accept(chat, chat.last('send'));
  assert.equal(chat.client.unsent('general')[0].state, 'accepted');
});

test('what is accepted and not seen is sent again after a break and after lost notices, without being told anew', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  accept(chat, chat.last('send'));
  chat.socket.say({ type: 'noticesLost' });
  await settled();
  assert.deepEqual(texts(chat), ['one', 'one']);
  accept(chat, chat.last('send'));
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.deepEqual(chat.sent('send').map((frame) => frame.clientId), [clientId]);
  assert.deepEqual(chat.states(clientId), ['sending', 'accepted']);
  chat.confirm(chat.last('send'), 11, { duplicate: true });
  assert.deepEqual(chat.states(clientId), ['sending', 'accepted', 'sent']);
});

test('in a room that is not followed, accepted is the last word', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('another', { text: 'one' });
  await settled();
  accept(chat, chat.last('send'));
  assert.deepEqual(chat.states(clientId), ['sending', 'accepted']);
  assert.deepEqual(chat.client.unsent(), []);
});
