// A database that is away, a writer that dies in the middle of a batch, a queue that is full, settings that cannot work.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { event, request, run, until, within } from '../server.mjs';
import { PROGRAM, Stage, road } from './stage.mjs';

let stage;

beforeEach(async () => {
  stage = await Stage.open();
});
afterEach(() => stage.close());

test('while the database is away what is sent is answered and heard, and it is stored once it is back', async () => {
  const way = await road(stage.database.url);
  try {
    const [one, two] = await Promise.all([stage.start({ DATABASE_URL: way.url }), stage.start({ DATABASE_URL: way.url })]);
    const [ann, bob] = [stage.person('ann'), stage.person('bob')];
    await stage.room(one, 1, [ann, bob]);
    const [hers, his] = [await stage.enter(one, ann), await stage.enter(two, bob)];
    for (const socket of [hers, his]) await socket.ask('joinRoom', { roomId: 1 });
    await hers.ask('sendMessage', { roomId: 1, message: 'before' });
    way.cutOff();
    for (let at = 0; at < 50; at += 1) {
      const sent = await hers.ask('sendMessage', { roomId: 1, message: `m${at}`, clientMsgId: `c${at}` });
      assert.equal(sent.success, true, JSON.stringify(sent));
    }
    await until('all messages at the other instance', () => his.messages.length === 51);
    await until('word of it', async () => (await request('GET', `${one.url}/health`)).status === 503);
    const { body } = await request('GET', `${one.url}/health`);
    assert.deepEqual([body.dependencies.postgres.status, body.dependencies.redis.status], ['failing', 'ok']);
    assert.ok((await request('GET', `${one.url}/queue`)).body.messages >= 50);
    way.restore();
    await until('all in the database', async () => (await stage.stored(1)).length === 51, 60_000);
    const stored = await stage.stored(1);
    assert.equal(new Set(stored.map(({ client_id }) => client_id)).size, 51);
    await until('an empty queue', async () => (await request('GET', `${one.url}/queue`)).body.messages === 0);
  } finally {
    way.close();
  }
});

test('a queue that is full refuses clearly, loses nothing, and takes more when the database is back', async () => {
  const way = await road(stage.database.url);
  try {
    const one = await stage.start({ DATABASE_URL: way.url, MAX_QUEUE: '20' });
    const ann = stage.person('ann');
    await stage.room(one, 1, [ann]);
    const hers = await stage.enter(one, ann);
    await hers.ask('joinRoom', { roomId: 1 });
    await hers.ask('sendMessage', { roomId: 1, message: 'before' });
    way.cutOff();
    const taken = ['before'];
    let refused;
    for (let at = 0; !refused && at < 200; at += 1) {
      const sent = await hers.ask('sendMessage', { roomId: 1, message: `m${at}` });
      if (sent.success) taken.push(`m${at}`);
      else refused = sent;
    }
    assert.deepEqual([refused?.success, refused?.code, refused?.retryable], [false, 'busy', true]);
    assert.match(refused.message, /wait for the database/);
    const { body } = await request('GET', `${one.url}/queue`);
    assert.equal(body.maxPerRoom, 20);
    assert.ok(body.messages >= 20 && body.messages <= 40, JSON.stringify(body));
    way.restore();
    await until('room in the queue', async () => (await hers.ask('sendMessage', { roomId: 1, message: 'after' })).success, 60_000);
    taken.push('after');
    await until('everything in the database', async () => (await stage.stored(1)).length === taken.length, 60_000);
    assert.deepEqual(hers.messages.map(({ message }) => message), taken);
  } finally {
    way.close();
  }
});

test('a writer that dies in the middle of a batch loses nothing and stores nothing twice', async () => {
  // Batches that wait long, so that there is always one when it dies.
  const env = { BATCH_SIZE: '40', BATCH_WAIT: '1s' };
  let [one, two] = await Promise.all([stage.start(env), stage.start(env)]);
  const [ann, bob] = [stage.person('ann'), stage.person('bob')];
  await stage.room(one, 1, [ann, bob]);
  const watcher = await stage.enter(two, bob);
  await watcher.ask('joinRoom', { roomId: 1 });
  const answered = new Map();
  const total = 600;
  let next = 0;
  // Each sender goes on with the next message once this one is answered; what is not answered is sent again to the other instance.
  const sender = async () => {
    // One presentation, one session: the one that died with its instance does not stand in the way.
    const auth = { token: ann.token, presentation: ann.present() };
    let [server, socket] = [one, await stage.connect(one, auth)];
    while (next < total) {
      const name = `c${next++}`;
      for (;;) {
        const sent = await socket.timeout(2_000).emitWithAck('sendMessage', { roomId: 1, message: name, clientMsgId: name }).catch(() => null);
        if (sent?.success) {
          answered.set(name, sent.data.id);
          break;
        }
        assert.ok(!sent || sent.retryable, JSON.stringify(sent));
        if (!socket.connected) [server, socket] = [two, await stage.connect(two, auth)];
      }
    }
    return server;
  };
  const senders = [sender(), sender(), sender(), sender()];
  await until('some answers', () => answered.size >= total / 4);
  await one.kill();
  await within(60_000, 'all answers', Promise.all(senders));
  assert.equal(answered.size, total);
  await until('all at the watcher', () => watcher.messages.length >= total);
  const order = watcher.messages.map(({ id }) => id);
  assert.equal(new Set(order).size, total, 'each once');
  assert.deepEqual([...order].sort(), order);
  for (const { id, message } of watcher.messages) assert.equal(answered.get(message), id);
  await until('all in the database', async () => (await stage.stored(1)).length >= total, 60_000);
  const stored = await stage.stored(1);
  assert.deepEqual(stored.map(({ client_id }) => client_id), watcher.messages.map(({ message }) => message), 'the same order');
  // Who comes later reads the same.
  one = await stage.start(env);
  const { body } = await stage.rest(one, bob, 'GET', '/rooms/1/messages?limit=100');
  assert.deepEqual(body.messages.map(({ id }) => id), order.slice(-100));
});

test('the only writer dies with everything still in the queue, and the next one stores it', async () => {
  const env = { BATCH_SIZE: '10000', BATCH_WAIT: '30s' };
  const one = await stage.start(env);
  const ann = stage.person('ann');
  await stage.room(one, 1, [ann]);
  const hers = await stage.enter(one, ann);
  for (let at = 0; at < 30; at += 1) assert.ok((await hers.ask('sendMessage', { roomId: 1, message: `m${at}` })).success);
  assert.equal((await stage.stored(1)).length, 0);
  await one.kill();
  await stage.start();
  await until('all in the database', async () => (await stage.stored(1)).length === 30, 60_000);
});

test('a batch goes when it is large enough, however long the others may wait', async () => {
  const one = await stage.start({ BATCH_SIZE: '5', BATCH_WAIT: '60s' });
  const ann = stage.person('ann');
  await stage.room(one, 1, [ann]);
  const hers = await stage.enter(one, ann);
  for (let at = 0; at < 5; at += 1) await hers.ask('sendMessage', { roomId: 1, message: `m${at}` });
  await until('the batch in the database', async () => (await stage.stored(1)).length >= 4);
});

test('while Redis is away nobody is let in and nothing is answered as sent; afterwards it goes on', async () => {
  const way = await road(stage.env.REDIS_URL);
  try {
    const one = await stage.start({ REDIS_URL: way.url });
    const ann = stage.person('ann');
    await stage.room(one, 1, [ann]);
    const hers = await stage.enter(one, ann);
    await hers.ask('joinRoom', { roomId: 1 });
    await hers.ask('sendMessage', { roomId: 1, message: 'before', clientMsgId: 'c0' });
    way.cutOff();
    const message = { roomId: 1, message: 'meanwhile', clientMsgId: 'c1' };
    const sent = await hers.ask('sendMessage', message);
    assert.deepEqual([sent.success, sent.retryable], [false, true], JSON.stringify(sent));
    const said = await stage.refusal(one, { token: ann.token, presentation: ann.present() });
    for (const secret of [ann.token, new URL(way.url).password]) assert.ok(!said.includes(secret), said);
    assert.equal((await request('GET', `${one.url}/health`)).status, 503);
    way.restore();
    await until('an answer', async () => (await hers.ask('sendMessage', message)).success, 60_000);
    await until('both in the database', async () => (await stage.stored(1)).length === 2);
    assert.deepEqual((await stage.stored(1)).map(({ client_id }) => client_id), ['c0', 'c1']);
    await stage.enter(one, ann);
  } finally {
    way.close();
  }
});

test('at its end the server tells its sockets, stores what it took, and ends with 0', async () => {
  const one = await stage.start({ BATCH_SIZE: '10000', BATCH_WAIT: '30s' });
  const ann = stage.person('ann');
  await stage.room(one, 1, [ann]);
  const hers = await stage.enter(one, ann);
  for (let at = 0; at < 10; at += 1) await hers.ask('sendMessage', { roomId: 1, message: `m${at}` });
  const gone = event(hers, 'disconnect');
  assert.equal(await one.stop(), 0);
  await gone;
  assert.equal((await stage.stored(1)).length, 10);
});

test('settings that are missing or wrong are all named, and the exit code is 2', async () => {
  const { code, stderr } = await run(PROGRAM, { env: { BATCH_SIZE: '0', LISTEN: 'nowhere' } });
  assert.equal(code, 2);
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'JWT_SECRET', 'PRESENTATION_AUDIENCE', 'TRUSTED_ISSUERS', 'BATCH_SIZE', 'LISTEN']) {
    assert.match(stderr, new RegExp(`\\n  ${name}: `));
  }
});
