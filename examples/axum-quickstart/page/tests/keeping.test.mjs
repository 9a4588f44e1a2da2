// What is not yet sent outlives the client that was told to send it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cursor, page, settled, setup } from './harness.mjs';

/** What a browser's `sessionStorage` does, for one key. */
function memory(text = null) {
  return {
    text,
    sets: 0,
    get() {
      return this.text;
    },
    set(value) {
      this.sets += 1;
      this.text = value;
    },
    get kept() {
      return JSON.parse(this.text).items.map(({ frame }) => frame.text ?? frame.type);
    },
  };
}

const texts = (chat) => chat.sent('send').map(({ text }) => text);

/** A client that wrote `written` and never had an answer, and the storage it leaves. */
async function cutShort(written, storage = memory()) {
  const chat = setup({ storage });
  await chat.inRoom(10);
  const clientIds = written.map((text) => chat.client.send('general', { text }));
  await settled();
  return { storage, clientIds, first: chat.last('send') };
}

test('after a reload what was not confirmed is sent again with the same clientIds, in the order written', async () => {
  const { storage, clientIds, first } = await cutShort(['one', 'two', 'three']);
  const again = setup({ storage });
  await again.connect();
  const { id, ...frame } = again.last('send');
  const { id: before, ...same } = first;
  assert.deepEqual(frame, same);
  again.confirm(again.last('send'), 11, { duplicate: true });
  again.confirm(again.last('send'), 12);
  assert.deepEqual(storage.kept, ['one', 'two', 'three'], 'saved soon, not at once');
  await settled();
  assert.deepEqual(storage.kept, ['three']);
  again.confirm(again.last('send'), 13);
  assert.deepEqual(again.sent('send').map(({ clientId }) => clientId), clientIds);
  await settled();
  assert.deepEqual(storage.kept, []);
  assert.deepEqual(again.states(clientIds[0]), ['sending', 'sent']);
  assert.ok(id && before);
});

test('after a reload the application can show what is not yet sent', async () => {
  const { storage, clientIds } = await cutShort(['one', 'two']);
  const again = setup({ storage });
  await settled();
  assert.deepEqual(again.client.unsent('general').map(({ clientId, text, state }) => [clientId, text, state]), [[clientIds[0], 'one', 'sending'], [clientIds[1], 'two', 'sending']]);
  assert.deepEqual(again.client.unsent('other'), []);
  assert.equal(again.client.unsent().length, 2);
  assert.equal(again.of('outbox')[0].text, 'one');
  assert.equal(again.client.unsent()[0].createdAt, '1970-01-01T00:00:00.000Z', 'when it was written');
});

test('edits, deletes and reactions are kept too', async () => {
  const storage = memory();
  const chat = setup({ storage });
  await chat.inRoom(10);
  chat.client.edit('general', 'm1', { json: { a: 1 } });
  chat.client.react('general', 'm1', '👍', 'remove');
  chat.client.delete('general', 'm1');
  await settled();
  const again = setup({ storage });
  await again.connect();
  for (let seq = 11; seq <= 13; seq++) again.confirm(again.socket.sent.at(-1), seq);
  assert.deepEqual(again.socket.sent.slice(1).map(({ type, json, op }) => [type, json, op]), [['edit', { a: 1 }, undefined], ['react', undefined, 'remove'], ['delete', undefined, undefined]]);
});

test('after a reload an own message found on a page is not sent again', async () => {
  const { storage, clientIds } = await cutShort(['one', 'two']);
  const again = setup({ storage });
  again.client.join('general');
  await again.connect();
  again.fail(again.last('send'), 'busy', { retryable: true, retryAfterMs: 500 });
  const found = page([11], 11);
  Object.assign(found.entries[0], { sender: 'ann', clientId: clientIds[0] });
  again.answer(again.last('join'), { type: 'joined', room: 'general', outcome: 'new', cursor: cursor(11), page: found });
  assert.deepEqual(again.states(clientIds[0]), ['sending', 'sent']);
  await again.timers.advance(1_000);
  assert.deepEqual(texts(again), ['one', 'two']);
});

test('after a reload what has failed is still there with its error, and waits for retry', async () => {
  const { storage, clientIds, first } = await cutShort([]);
  assert.equal(first, undefined);
  const chat = setup({ storage });
  await chat.inRoom(10);
  clientIds.push(chat.client.send('general', { text: 'one' }));
  await settled();
  chat.fail(chat.last('send'), 'room_inactive');
  await settled();
  const again = setup({ storage });
  await again.connect();
  const [{ state, error }] = again.client.unsent();
  assert.deepEqual([state, error.code, error.retryable], ['failed', 'room_inactive', false]);
  assert.deepEqual(texts(again), []);
  again.client.retry(clientIds[0]);
  await settled();
  assert.equal(again.last('send').clientId, clientIds[0]);
});

test('what is discarded is not kept', async () => {
  const { storage, clientIds } = await cutShort(['one', 'two']);
  const again = setup({ storage });
  await settled();
  again.client.discard(clientIds[0]);
  await settled();
  assert.deepEqual(storage.kept, ['two']);
});

test('what another user wrote before the reload is not sent, nor kept any longer', async () => {
  const { storage, clientIds } = await cutShort(['one']);
  const again = setup({ storage });
  again.client.send('general', { text: 'mine' });
  await again.connect({ user: 'eve' });
  assert.deepEqual(texts(again), ['mine']);
  assert.deepEqual(again.states(clientIds[0]), ['sending', 'failed']);
  assert.equal(again.of('outbox').find(({ state }) => state === 'failed').error.code, 'other_user');
  assert.equal(again.client.retry(clientIds[0]), false);
  assert.deepEqual(storage.kept, ['mine']);
});

test('what is written before the first connection is kept if it is known who writes', async () => {
  for (const [user, kept] of [['ann', ['early']], [undefined, []]]) {
    const storage = memory();
    const chat = setup({ storage, user });
    chat.client.send('general', { text: 'early' });
    await settled();
    assert.deepEqual(storage.kept, kept);
    await chat.connect();
    assert.deepEqual(storage.kept, ['early']);
    assert.deepEqual(texts(chat), ['early']);
  }
});

test('messages written together are saved together', async () => {
  const storage = memory();
  const chat = setup({ storage });
  await chat.inRoom(10);
  await settled();
  const { sets } = storage;
  for (let i = 0; i < 100; i++) chat.client.send('general', { text: `${i}` });
  await settled();
  assert.equal(storage.sets - sets, 1);
  assert.equal(storage.kept.length, 100);
});

test('a slow storage is waited for before connecting, and what is written meanwhile comes behind', async () => {
  const { storage, clientIds } = await cutShort(['one']);
  let give;
  const slow = { get: () => new Promise((resolve) => (give = () => resolve(storage.text))), set: async (text) => storage.set(text) };
  const chat = setup({ storage: slow, user: 'ann' });
  chat.client.start();
  chat.client.send('general', { text: 'two' });
  await settled();
  assert.equal(chat.sockets.length, 0);
  assert.deepEqual(storage.kept, ['one'], 'nothing is overwritten that was not read');
  give();
  await settled();
  assert.deepEqual(storage.kept, ['one', 'two']);
  await chat.welcome();
  assert.equal(chat.last('send').clientId, clientIds[0]);
});

test('one save ends before the next begins', async () => {
  const pending = [];
  const chat = setup({ storage: { get: () => null, set: (text) => new Promise((resolve) => pending.push({ text, resolve })) } });
  await chat.inRoom(10);
  while (pending.length) {
    pending.shift().resolve();
    await settled();
  }
  chat.client.send('general', { text: 'one' });
  await settled();
  chat.client.send('general', { text: 'two' });
  chat.client.send('general', { text: 'three' });
  await settled();
  assert.equal(pending.length, 1);
  pending.shift().resolve();
  await settled();
  assert.equal(JSON.parse(pending[0].text).items.length, 3);
});

test('a storage that fails is told of, and messages are sent all the same', async () => {
  const full = () => {
    throw new Error('quota exceeded');
  };
  const chat = setup({ storage: { get: () => null, set: full } });
  await chat.inRoom(10);
  chat.client.send('general', { text: 'one' });
  await settled();
  assert.equal(chat.of('storage').at(-1).error.message, 'quota exceeded');
  assert.deepEqual(texts(chat), ['one']);
});

test('what cannot be read from the storage is told of, and costs nothing else', async () => {
  for (const text of ['no json', '7', 'null', '{"items":7}', '{"items":[null]}', '{"items":[{"frame":{"type":"token","token":"t"}}]}']) {
    const storage = memory(text);
    const chat = setup({ storage });
    chat.client.send('general', { text: 'one' });
    await chat.connect();
    assert.deepEqual(texts(chat), ['one'], text);
    assert.deepEqual(storage.kept, ['one'], text);
    assert.deepEqual(chat.socket.sent.map(({ type }) => type), ['connect', 'send'], text);
  }
});

test('no more is taken back than may wait', async () => {
  const { storage } = await cutShort(['one', 'two', 'three']);
  const again = setup({ storage, maxUnsent: 2 });
  await settled();
  const clientId = again.client.send('general', { text: 'four' });
  await settled();
  assert.deepEqual(again.client.unsent().map(({ text }) => text), ['one', 'two']);
  assert.equal(again.of('outbox').at(-1).error.code, 'outbox_full');
  assert.deepEqual(again.states(clientId), ['failed']);
});
