// A server that cannot look anybody up for a while: socket.io-client gets in by itself once it can.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { inTime, pause, start } from './protocol-server.mjs';

let server;
const sockets = [];
before(async () => {
  server = await start('--connect-timeout-ms', '2000');
});
after(async () => {
  for (const socket of sockets) socket.disconnect();
  await server.stop();
});

/** A client that never calls `connect`, and what it is told; nobody can be looked up for so long. */
function client(away, options = {}) {
  const token = String(Date.now() + away);
  const socket = io(`${server.url}/away`, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, auth: { token }, ...options });
  sockets.push(socket);
  socket.told = [];
  for (const event of ['connect', 'connect_error', 'disconnect']) socket.on(event, (why) => socket.told.push(why?.message ?? why ?? event));
  return socket;
}

const connected = (socket) => inTime('connect', new Promise((resolve) => socket.once('connect', resolve)), 10_000);

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`a short while passes within one attempt, over ${transports}`, async () => {
    const socket = client(300, { transports });
    await connected(socket);
    assert.deepEqual(socket.told, ['connect']);
    assert.equal(await socket.timeout(2_000).emitWithAck('hello'), true);
    socket.disconnect();
  });

  test(`a longer one costs the transport, and the client comes back, over ${transports}`, async () => {
    const socket = client(4_500, { transports });
    let attempts = 0;
    socket.io.on('reconnect', () => (attempts += 1));
    await connected(socket);
    assert.ok(attempts >= 1, `${attempts}`);
    assert.ok(!socket.told.includes('users failed during authenticate'), socket.told.join());
    assert.equal(await socket.timeout(2_000).emitWithAck('hello'), true);
    socket.disconnect();
  });
}

test('who is refused for good is told so at once, and stays away', async () => {
  const socket = client(0, { auth: { token: 'nonsense' } });
  const error = await inTime('connect_error', new Promise((resolve) => socket.once('connect_error', resolve)), 500);
  assert.match(error.message, /malformed/);
  await pause(500);
  assert.equal(socket.active, false);
  assert.equal(socket.told.length, 1);
});

test('a namespace that is away leaves those beside it alone, and says so in the end', async () => {
  const beside = io(server.url, { forceNew: true });
  await connected(beside);
  const socket = beside.io.socket('/away', { auth: { token: String(Date.now() + 60_000) } });
  socket.connect();
  const error = await inTime('connect_error', new Promise((resolve) => socket.once('connect_error', resolve)), 5_000);
  assert.match(error.message, /users failed/);
  assert.ok(beside.connected);
  beside.disconnect();
});
