import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, ask, event, texts, until } from './server.mjs';

/** Joins again with the last position after every connect, as an application does. */
function follows(socket, roomId) {
  const join = () => socket.emit('join-room', { roomId, after: socket.messages.at(-1)?.cursor });
  socket.on('connect', join);
  join();
}

test('a server that is killed and started again: what was acknowledged is there, once and in order', async () => {
  let server = await Server.start();
  await server.room('crash', 'ann', 'bob');
  const [ann, bob] = [await server.client('ann'), await server.client('bob', { transports: ['polling'], upgrade: false })];
  for (const socket of [ann, bob]) follows(socket, 'crash');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const acknowledged = [];
  let sending = true;
  const sender = (async () => {
    for (let number = 0; sending; number += 1) {
      const message = { roomId: 'crash', text: `m${number}`, clientMsgId: `c${number}` };
      // Until it is known: the same name, however often.
      for (;;) {
        const answer = await ann.timeout(1_000).emitWithAck('send-message', message).catch(() => null);
        if (answer?.success) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      acknowledged.push(message.text);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  for (let round = 0; round < 2; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 700));
    const { folder, url } = server;
    const again = event(bob, 'connect', 20_000);
    await server.stop('SIGKILL', { keeps: true });
    const { sockets } = server;
    server = await Server.start({ folder, listen: new URL(url).host });
    server.sockets = sockets;
    await again;
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  sending = false;
  await sender;
  for (const socket of [ann, bob]) {
    await until('everything', () => socket.messages.length >= acknowledged.length, 20_000);
    assert.deepEqual(texts(socket), acknowledged);
  }
  await server.stop();
});

test('on SIGTERM clients lose the connection, come back to the next server, and the process ends in good order', async () => {
  const server = await Server.start();
  await server.room('drain', 'ann');
  const ann = await server.client('ann');
  follows(ann, 'drain');
  await ask(ann, 'send-message', { roomId: 'drain', text: 'before' });
  await until('one', () => ann.messages.length === 1);
  const gone = event(ann, 'disconnect');
  const again = event(ann, 'connect', 30_000);
  const { folder, url, sockets } = server;
  assert.equal(await server.stop('SIGTERM', { keeps: true }), 0);
  assert.notEqual(await gone, 'io server disconnect', 'a client that is disconnected by the server would stay away');
  const next = await Server.start({ folder, listen: new URL(url).host });
  next.sockets = sockets;
  await again;
  await ask(ann, 'send-message', { roomId: 'drain', text: 'after' });
  await until('both', () => ann.messages.length === 2);
  assert.deepEqual(texts(ann), ['before', 'after']);
  await next.stop();
});
