// What fails, and what then is left of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause, request, until } from '../server.mjs';
import { Shop, ask, done, texts } from './shop.mjs';

const seller = { role: 'SELLER' };

test('a send that fails leaves no trace: message, preview and unread count change together or not at all', async () => {
  const shop = await Shop.open();
  try {
    await shop.store('7', 'sue');
    const { id: roomId } = await shop.room('bea', '7');
    const [bea, sue] = [await shop.client('bea'), await shop.client('sue', seller)];
    for (const socket of [bea, sue]) await done(socket, 'join-room', { roomId });
    await done(bea, 'send-message', { roomId, text: 'before' });
    const ofStore = async () => (await shop.rest('sue', 'GET', '/seller/chat-room/store/7', seller)).body;
    const earlier = await ofStore();
    for (const [table, when] of [['rooms', 'UPDATE'], ['entries', 'INSERT']]) {
      await shop.database.query(`
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
        CREATE TRIGGER fail BEFORE ${when} ON chat.${table} FOR EACH ROW EXECUTE FUNCTION fail()`);
      const message = { roomId, text: `with broken ${table}`, clientMsgId: table };
      assert.equal((await ask(bea, 'send-message', message)).success, false);
      assert.deepEqual(texts(await shop.all('bea', roomId)), ['before']);
      assert.deepEqual(await ofStore(), earlier);
      await shop.database.query('DROP FUNCTION fail CASCADE');
    }
    await done(bea, 'send-message', { roomId, text: 'after', clientMsgId: 'rooms' });
    for (const socket of [bea, sue]) {
      await until('the next one', () => socket.messages.length === 2);
      assert.deepEqual(texts(socket.messages), ['before', 'after']);
    }
    assert.equal((await ofStore())[0].unreadCount, 2);
  } finally {
    await shop.close();
  }
});

test('without its database it says so, and goes on when that is back', async () => {
  const shop = await Shop.open();
  try {
    await shop.store('7', 'sue');
    const { id: roomId } = await shop.room('bea', '7');
    const bea = await shop.client('bea');
    await done(bea, 'join-room', { roomId });
    const health = () => request('GET', `${shop.servers[0].url}/health`);
    await shop.database.shut();
    const { status, body } = await health();
    assert.deepEqual([status, body.status, body.dependencies.postgres.status, body.dependencies.jwt.status], [503, 'failing', 'failing', 'ok']);
    const answer = await ask(bea, 'send-message', { roomId, text: 'lost?', clientMsgId: 'c-1' });
    assert.deepEqual([answer.success, answer.data.retryable], [false, true]);
    const { status: refused, body: said } = await shop.rest('bea', 'GET', '/user/chat-room');
    assert.deepEqual([refused >= 500, said.statusCode], [true, refused]);
    await shop.database.reopen();
    await until('health', async () => (await health()).status === 200);
    await until('the same message', async () => (await ask(bea, 'send-message', { roomId, text: 'lost?', clientMsgId: 'c-1' })).success);
    await until('it', () => bea.messages.length === 1);
    assert.deepEqual(texts(await shop.all('bea', roomId)), ['lost?']);
  } finally {
    await shop.close();
  }
});

test('who does too much is told when to come back', async () => {
  const shop = await Shop.open({ env: { RATE_LIMITS: 'on' } });
  try {
    await shop.store('7', 'sue');
    const { id: roomId } = await shop.room('bea', '7');
    const bea = await shop.client('bea');
    const sends = Array.from({ length: 60 }, (_, number) => ask(bea, 'send-message', { roomId, text: `m${number}` }));
    const answers = await Promise.all(sends);
    const limited = answers.filter(({ success }) => !success);
    assert.ok(limited.length > 0 && limited.length < 60);
    for (const { data } of limited) assert.deepEqual([data.code, data.retryable, data.retryAfterMs > 0], ['rate_limited', true, true]);
    const asked = await Promise.all(Array.from({ length: 150 }, () => shop.rest('bea', 'GET', '/user/chat-room')));
    const refused = asked.filter(({ status }) => status !== 200);
    assert.ok(refused.length > 0);
    for (const { status, headers, body } of refused) {
      assert.deepEqual([status, body.statusCode, body.error, Number(headers.get('retry-after')) > 0], [429, 429, 'Too Many Requests', true]);
    }
    await pause(Math.max(...limited.map(({ data }) => data.retryAfterMs)) + 1_000);
    assert.equal((await shop.all('bea', roomId)).length, 60 - limited.length);
  } finally {
    await shop.close();
  }
});
