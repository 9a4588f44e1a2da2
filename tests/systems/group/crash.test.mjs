// Two gateways and two workers under load, and one of each is killed: nothing lost, nothing doubled, one order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause, unique, until } from '../server.mjs';
import { Stage, ask, text } from './stage.mjs';

const ROOMS = 4;
const PEOPLE = 4;
const EACH = 150;

/** Sends until it is accepted, wherever it can; and takes what comes, with what was missed fetched after each reconnect. */
class Client {
  constructor(person, gateways, rooms) {
    Object.assign(this, { person, gateways, rooms, accepted: new Map(), reconnects: 0, over: false });
    this.seen = new Map(rooms.map((room) => [room, []]));
    this.at = 0;
  }

  async connect() {
    for (;;) {
      const gateway = this.gateways[this.at % this.gateways.length];
      const socket = this.person.at(gateway).dial({ timeout: 2_000 });
      const connected = await new Promise((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('connect_error', () => resolve(false));
      });
      if (connected && (await this.#follow(socket, gateway))) return;
      socket.disconnect();
      this.at++;
      await pause(20);
    }
  }

  /** Joins first, fetches then, and takes live messages last: what is in both is known by its id. */
  async #follow(socket, gateway) {
    try {
      const live = [];
      socket.off('newMessage');
      let take = (message) => live.push(message);
      socket.on('newMessage', (message) => take(message));
      for (const room of this.rooms) {
        if (!(await ask(socket, 'joinRoom', { roomId: room })).success) return false;
        const last = this.seen.get(room).at(-1);
        if (last) for (const message of await this.person.at(gateway).after(room, last.id, 20)) this.#take(message);
      }
      live.forEach((message) => this.#take(message));
      take = (message) => this.#take(message);
      this.socket = socket;
      socket.once('disconnect', () => this.over || this.#again());
      if (!socket.connected) return false;
      return true;
    } catch {
      return false;
    }
  }

  #again() {
    this.reconnects++;
    this.at++;
    this.connecting = this.connect();
  }

  #take(message) {
    const seen = this.seen.get(message.roomId);
    if (seen.some(({ id }) => id === message.id)) return;
    seen.push(message);
  }

  async send(room, name) {
    for (;;) {
      const socket = this.socket;
      const answer = await Promise.race([
        socket.emitWithAck('sendMessage', text(room, name)).catch(() => null),
        new Promise((resolve) => (socket.connected ? socket.once('disconnect', () => resolve(null)) : resolve(null))),
      ]);
      if (answer?.status === 'ACCEPTED') return this.accepted.set(name, room);
      if (answer) assert.ok(answer.retryable, JSON.stringify(answer));
      await pause(20);
    }
  }

  end() {
    this.over = true;
    this.socket.disconnect();
  }
}

test('kill -9 of a gateway and of a worker under load', async () => {
  const stage = await Stage.set();
  try {
    const [first, second, doomed] = await Promise.all([stage.gateway(), stage.gateway(), stage.worker(), stage.worker()]);
    const people = Array.from({ length: PEOPLE }, () => stage.stranger(second));
    const rooms = [];
    for (let made = 0; made < ROOMS; made++) rooms.push(await people[0].room(...people.slice(1)));
    const clients = people.map((person) => new Client(person, [first, second], rooms));
    await Promise.all(clients.map((client) => client.connect()));
    // Everybody has a last message of each room from here on.
    await Promise.all(rooms.map((room) => clients[0].send(room, unique('begin'))));
    await until('the first message everywhere', () => clients.every((client) => rooms.every((room) => client.seen.get(room).length === 1)));
    let sent = 0;
    const load = clients.map(async (client) => {
      for (let number = 0; number < EACH; number++) {
        await client.send(rooms[number % ROOMS], unique('c'));
        sent++;
      }
    });
    const total = PEOPLE * EACH;
    await until('a third is sent', () => sent > total / 3, 60_000);
    await doomed.kill();
    await until('half is sent', () => sent > total / 2, 60_000);
    await first.kill();
    assert.ok(sent < total, 'it died under load');
    await Promise.all(load);
    // The other worker takes over when the group gives the dead one up.
    await until('everything everywhere', () => clients.every((client) =>
      rooms.reduce((sum, room) => sum + client.seen.get(room).length, 0) >= total + ROOMS), 120_000);
    assert.ok(clients.every((client) => client.reconnects >= 1));
    const accepted = new Map(clients.flatMap((client) => [...client.accepted]));
    for (const room of rooms) {
      const { body } = await people[0].call('GET', `/rooms/${room}/messages?limit=1`);
      const firstSeen = clients[0].seen.get(room)[0];
      const stored = [firstSeen, ...(await people[0].after(room, firstSeen.id))];
      assert.equal(body.messages[0].id, stored.at(-1).id);
      const names = stored.map(({ clientMsgId }) => clientMsgId);
      assert.equal(new Set(names).size, names.length, 'nothing doubled');
      const expected = [...accepted].filter(([, where]) => where === room).map(([name]) => name);
      assert.deepEqual(names.toSorted(), expected.toSorted(), 'nothing lost');
      const ids = stored.map(({ id }) => id);
      assert.deepEqual(ids, ids.toSorted());
      for (const client of clients) assert.deepEqual(client.seen.get(room), stored, 'one order for everybody');
      // What one client sent one after the other is in that order.
      for (const client of clients) {
        const own = [...client.accepted].filter(([, where]) => where === room).map(([name]) => name);
        assert.deepEqual(stored.filter(({ senderId }) => senderId === client.person.id).map(({ clientMsgId }) => clientMsgId), own);
      }
    }
    clients.forEach((client) => client.end());
  } finally {
    await stage.end();
  }
});
