// Settings that are missing, and an end in good order.

import assert from 'node:assert/strict';
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
