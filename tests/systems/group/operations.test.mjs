// Settings that are missing, and an end in good order.

import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { event, request, run, unique, until } from '../server.mjs';
import { Stage, ask, text } from './stage.mjs';

test('every variable that is missing is named at once', async () => {
  const gateway = await run('example-axum-group');
  assert.equal(gateway.code, 2);
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'KAFKA_BROKERS', 'JWT_SECRET']) assert.match(gateway.stderr, new RegExp(`^  ${name}: is needed`, 'm'));
  const worker = await run('example-axum-group-worker');
  assert.equal(worker.code, 2);
  for (const name of ['DATABASE_URL', 'KAFKA_BROKERS']) assert.match(worker.stderr, new RegExp(`^  ${name}: is needed`, 'm'));
  const wrong = await run('example-axum-group', { env: { JWT_SECRET: 'hidden', JWT_EXPIRES_IN: 'soon', LISTEN: 'x' } });
  assert.equal(wrong.code, 2);
  for (const name of ['JWT_SECRET', 'JWT_EXPIRES_IN', 'LISTEN']) assert.match(wrong.stderr, new RegExp(`^  ${name}: `, 'm'));
  assert.doesNotMatch(wrong.stderr, /hidden/);
});

test('SIGTERM: sockets are let go and come back elsewhere, what was accepted is stored, and both programs end well', async () => {
  const stage = await Stage.set();
  try {
    const [gateway, other, worker] = await Promise.all([stage.gateway(), stage.gateway(), stage.worker()]);
    const ann = stage.stranger(gateway);
    const room = await ann.room();
    const socket = await ann.joined(room, { reconnection: true });
    const names = Array.from({ length: 50 }, () => unique('c'));
    const answers = [];
    for (const name of names) {
      socket.emit('sendMessage', text(room, name), (answer) => answers.push(answer));
    }
    await until('some are accepted', () => answers.length > 5);
    const gone = event(socket, 'disconnect');
    const ended = gateway.stop();
    // Not by the server's word, after which a client would stay away.
    assert.ok(['transport close', 'transport error', 'ping timeout'].includes(await gone));
    assert.equal(await ended, 0);
    await assert.rejects(request('GET', `${gateway.url}/health`));
    const back = await ann.at(other).joined(room);
    const accepted = answers.filter(({ status }) => status === 'ACCEPTED').map(({ clientMsgId }) => clientMsgId);
    const stored = async () => (await ann.at(other).call('GET', `/rooms/${room}/messages?limit=200`)).body.messages.map(({ clientMsgId }) => clientMsgId);
    await until('all that was accepted is stored', async () => {
      const found = new Set(await stored());
      return accepted.every((name) => found.has(name));
    });
    // The worker finishes what it began; what came while there was none waits for the next.
    assert.equal(await worker.stop(), 0);
    assert.equal((await ask(back, 'sendMessage', text(room, 'last'))).status, 'ACCEPTED');
    await stage.worker();
    await until('the last one', () => back.messages.some(({ clientMsgId }) => clientMsgId === 'last'), 60_000);
    const all = await stored();
    assert.equal(new Set(all).size, all.length);
  } finally {
    await stage.end();
  }
});

test('what is away is named, messages go on without Redis, and all is well again afterwards', async () => {
  const stage = await Stage.set();
  const [redis, postgres] = await Promise.all([Cut.before(stage.env.REDIS_URL, 6379), Cut.before(stage.env.DATABASE_URL, 5432)]);
  try {
    const [gateway] = await Promise.all([stage.gateway({ REDIS_URL: redis.url, DATABASE_URL: postgres.url }), stage.worker()]);
    const health = async () => {
      const { status, body } = await request('GET', `${gateway.url}/health`);
      const failing = Object.entries(body.dependencies).filter(([, { status: each }]) => each !== 'ok').map(([name]) => name);
      assert.deepEqual([status, body.status], failing.length ? [503, 'failing'] : [200, 'ok']);
      return failing.join(' ');
    };
    const ann = stage.stranger(gateway);
    const room = await ann.room();
    const socket = await ann.joined(room);
    assert.equal(await health(), '');
    redis.cut();
    await until('Redis is away', async () => (await health()) === 'redis');
    assert.equal((await ask(socket, 'sendMessage', text(room, 'c1'))).status, 'ACCEPTED');
    await until('the message', () => socket.messages.length === 1);
    const [member] = (await ann.call('GET', `/rooms/${room}/members`)).body;
    assert.deepEqual([member.userId, member.online], [ann.id, null]);
    redis.mend();
    await until('Redis is back', async () => (await health()) === '');
    // Nothing is accepted unchecked.
    postgres.cut();
    await until('the database is away', async () => (await health()) === 'postgres');
    const late = await ask(socket, 'sendMessage', text(room, 'c2'));
    assert.deepEqual([late.status, late.retryable], ['FAILED', true]);
    postgres.mend();
    await until('the database is back', async () => (await health()) === '');
    assert.equal((await ask(socket, 'sendMessage', text(room, 'c2'))).status, 'ACCEPTED');
    await until('the second message', () => socket.messages.length === 2);
  } finally {
    await stage.end();
    redis.end();
    postgres.end();
  }
});

/** A way to a server that can be cut. */
class Cut {
  static async before(url, port) {
    const cut = new Cut();
    const target = new URL(url);
    const address = [Number(target.port || port), target.hostname];
    cut.sockets = new Set();
    cut.server = createServer((socket) => {
      const onward = connect(...address);
      for (const end of [socket, onward]) {
        cut.sockets.add(end);
        end.on('error', () => {}).on('close', () => (cut.sockets.delete(end), socket.destroy(), onward.destroy()));
      }
      if (cut.is) return socket.destroy();
      socket.pipe(onward).pipe(socket);
    });
    await new Promise((resolve) => cut.server.listen(0, '127.0.0.1', resolve));
    target.port = cut.server.address().port;
    target.hostname = '127.0.0.1';
    cut.url = target.href;
    return cut;
  }

  cut() {
    this.is = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend = () => (this.is = false);

  end() {
    this.cut();
    this.server.close();
  }
}

test('tokens live as long as JWT_EXPIRES_IN says', async () => {
  const stage = await Stage.set({ JWT_EXPIRES_IN: '15m' });
  try {
    const ann = await stage.person(await stage.gateway());
    const { iat, exp } = JSON.parse(Buffer.from(ann.token.split('.')[1], 'base64url'));
    assert.equal(exp - iat, 15 * 60);
  } finally {
    await stage.end();
  }
});
