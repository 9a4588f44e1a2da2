// Two servers on one database: events cross, one of them dies under load, one ends in good order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { event, pause, until } from '../server.mjs';
import { Shop, done, texts } from './shop.mjs';

const seller = { role: 'SELLER' };

test('events cross from one server to the other', async () => {
  const shop = await Shop.open({ servers: 2 });
  try {
    await shop.store('7', 'sue');
    const { id: roomId } = await shop.room('bea', '7');
    const bea = await shop.client('bea', { transports: ['polling'] });
    const sue = await shop.client('sue', { ...seller, server: shop.servers[1] });
    for (const socket of [bea, sue]) await done(socket, 'join-room', { roomId });
    for (let number = 0; number < 50; number += 1) {
      await done(number % 2 ? bea : sue, 'send-message', { roomId, text: `m${number}` });
    }
    for (const socket of [bea, sue]) await until('all', () => socket.messages.length === 50);
    assert.deepEqual(bea.messages, sue.messages);
  } finally {
    await shop.close();
  }
});

/** Sends numbered texts until it is told to stop, each again under its name until it is acknowledged. */
function sender(socket, roomId, name) {
  const acknowledged = [];
  let sending = true;
  const ended = (async () => {
    for (let number = 0; sending; number += 1) {
      const message = { roomId, text: `${name}-${number}`, clientMsgId: `${name}-${number}` };
      for (;;) {
        const answer = await socket.timeout(1_000).emitWithAck('send-message', message).catch(() => null);
        if (answer?.success) break;
        if (answer && !answer.data.retryable) throw new Error(JSON.stringify(answer));
        await pause(20);
      }
      acknowledged.push(message.text);
    }
  })();
  return { acknowledged, stop: () => { sending = false; return ended; } };
}

/** A client that goes to the next server whenever it loses its connection, and goes on after the last message it has. */
async function traveller(shop, user, options, servers, roomId) {
  let at = 0;
  const socket = await shop.client(user, { ...options, server: servers[0], timeout: 2_000 });
  const join = () => socket.emit('join-room', { roomId, after: socket.messages.at(-1)?.cursor });
  socket.on('connect', join);
  const move = () => {
    at += 1;
    socket.io.uri = servers[at % servers.length].url;
  };
  socket.on('disconnect', (reason) => {
    move();
    // Socket.IO's client does not come back by itself from this one.
    if (reason === 'io server disconnect') socket.connect();
  });
  socket.io.on('reconnect_error', move);
  socket.on('connect_error', () => { if (!socket.active) setTimeout(() => socket.connect(), 50); });
  await done(socket, 'join-room', { roomId });
  return socket;
}

for (const signal of ['SIGKILL', 'SIGTERM']) {
  test(`${signal} to one of two servers under load: nothing lost, nothing doubled, one order`, async () => {
    const shop = await Shop.open({ servers: 2 });
    try {
      await shop.store('7', 'sue');
      const { id: roomId } = await shop.room('bea', '7');
      const [first, second] = shop.servers;
      const clients = [
        await traveller(shop, 'bea', { transports: ['websocket'] }, [first, second], roomId),
        await traveller(shop, 'bea', { transports: ['polling'] }, [first, second], roomId),
        await traveller(shop, 'sue', { ...seller, transports: ['websocket'] }, [second, first], roomId),
      ];
      const senders = clients.map((socket, number) => sender(socket, roomId, `s${number}`));
      const sent = () => senders.map(({ acknowledged }) => acknowledged.length);
      await until('some of each', () => sent().every((count) => count >= 30));
      const back = [clients[0], clients[1]].map((socket) => event(socket, 'connect', 30_000));
      const code = await first.stop(signal);
      assert.equal(code, signal === 'SIGTERM' ? 0 : null);
      await Promise.all(back);
      const then = sent();
      await until('some more of each', () => sent().every((count, number) => count >= then[number] + 30), 40_000);
      await Promise.all(senders.map(({ stop }) => stop()));
      const history = await shop.all('bea', roomId, { server: second });
      for (const { acknowledged } of senders) {
        const name = acknowledged[0].split('-')[0];
        assert.deepEqual(texts(history).filter((text) => text.startsWith(`${name}-`)), acknowledged);
      }
      assert.equal(new Set(history.map(({ id }) => id)).size, history.length);
      for (const socket of clients) {
        await until('everything', () => socket.messages.length >= history.length, 30_000);
        assert.deepEqual(socket.messages, history);
      }
      const { body } = await shop.rest('sue', 'GET', '/seller/chat-room/store/7', { ...seller, server: second });
      const fromBuyer = history.filter(({ senderType }) => senderType === 'USER').length;
      assert.deepEqual([body[0].lastMessage, body[0].unreadCount], [history.at(-1).text, fromBuyer]);
    } finally {
      await shop.close();
    }
  });
}
