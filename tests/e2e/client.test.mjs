// The reference client against a real server, over real WebSockets whose connections are cut again and again: every message
// arrives, each once, in one order.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ChatClient } from '../../examples/axum-quickstart/page/chat-client.js';
import { startProxy } from './proxy.mjs';
import { startServer } from './server.mjs';

// What Node.js has had by itself since version 22.
globalThis.WebSocket ??= (await import('undici')).WebSocket;

const EACH = 200;
const people = [];
/** The shortest life a token may have. */
const TOKEN_SECONDS = 5;
let server;

before(async () => (server = await startServer('--token-lifetime', `${TOKEN_SECONDS}s`, '--drain-window', '1s')));
after(async () => {
  for (const person of people) await person.leave();
  await server?.stop();
});

async function until(what, condition, patience = 60_000) {
  const end = Date.now() + patience;
  while (!condition()) {
    if (Date.now() > end) assert.fail(`${what} did not come true`);
    await sleep(20);
  }
}

async function call(path, options) {
  const response = await fetch(`${server.url}${path}`, options);
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}

const isMessage = ({ kind }) => kind === 'chat';

/** Somebody at the far end of a line that can be cut, who keeps everything the client says. */
class Person {
  entries = [];
  states = [];
  joins = [];
  outcomes = new Map();

  static async arrive(name) {
    const person = new Person();
    person.name = name;
    person.guest = await call('/guest', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }) });
    person.proxy = await startProxy(server.port);
    people.push(person);
    return person;
  }

  /** A client as an application begins it anew: with what the storage has. */
  begin(storage, options) {
    this.client = new ChatClient({
      url: `${this.proxy.url.replace('http', 'ws')}/chat/ws`,
      user: this.guest.user,
      storage,
      token: async ({ fresh }) => {
        if (fresh) this.guest = { ...this.guest, ...(await call('/guest/renew', { headers: { authorization: `Bearer ${this.guest.token}` } })) };
        return this.guest.token;
      },
      // Cut so often, one would wait long in the end.
      random: () => Math.random() / 50,
      ...options,
    });
    this.client.on('state', ({ state, reason }) => this.states.push(reason ?? state));
    this.client.on('joined', (joined) => this.#joined(joined));
    this.client.on('resync', ({ page }) => assert.equal(page, undefined, 'too much was missed for this test'));
    this.client.on('entry', ({ entry }) => this.entries.push(entry));
    this.client.on('outbox', ({ clientId, state }) => this.outcomes.set(clientId, [...(this.outcomes.get(clientId) ?? []), state]));
    this.client.start();
  }

  #joined({ outcome, page }) {
    this.joins.push(outcome);
    if (page) this.entries.push(...page.entries);
  }

  async enter() {
    await until('connecting', () => this.client.state === 'connected');
    const { rooms } = await this.client.request('rooms', { limit: 10 });
    this.room = rooms[0].room.id;
    this.client.join(this.room);
    await until('joining', () => this.joins.length > 0);
  }

  texts(sender) {
    return this.entries.filter(isMessage).filter((entry) => entry.sender === sender).map(({ text }) => text);
  }

  get connections() {
    return this.states.filter((state) => state === 'connected').length;
  }

  async leave() {
    this.client?.close();
    await this.proxy.stop();
  }
}

/** Everything the server has of the room, read page by page over its own connection. */
async function wholeLog(person) {
  const entries = [];
  for (let after = person.entries[0].cursor; ; ) {
    const { page } = await person.client.request('history', { room: person.room, after, limit: 100, view: 'log' });
    entries.push(...page.entries);
    if (page.reachesHead || page.entries.length === 0) return entries;
    after = page.entries.at(-1).cursor;
  }
}

test('two people write 200 messages each over lines that are cut, and both have all 400 once, in one order', async () => {
  const [ann, bob] = [await Person.arrive('Ann'), await Person.arrive('Bob')];
  for (const person of [ann, bob]) {
    person.begin();
    await person.enter();
  }
  let writing = true;
  const cuts = [ann, bob].map(async ({ proxy }) => {
    let count = 0;
    for (; writing || count < 5; count += 1) {
      await sleep(50 + Math.random() * 250);
      proxy.cut();
      await sleep(Math.random() * 100);
      proxy.mend();
    }
    return count;
  });
  const wanted = (name) => Array.from({ length: EACH }, (_, n) => `${name} ${n + 1}`);
  for (let n = 1; n <= EACH; n += 1) {
    for (const person of [ann, bob]) person.client.send(person.room, { text: `${person.name} ${n}` });
    await sleep(10);
  }
  const complete = (person) => person.entries.filter(isMessage).length >= 2 * EACH;
  await until('400 messages at both', () => complete(ann) && complete(bob)).finally(() => (writing = false));
  const counts = await Promise.all(cuts);
  for (const person of [ann, bob]) {
    await until('nothing unsent', () => person.client.unsent().length === 0 && person.client.state === 'connected');
    const seqs = person.entries.map(({ seq }) => seq);
    assert.deepEqual(seqs, seqs.map((_, index) => seqs[0] + index), 'numbers without a gap, each once');
    for (const { name, guest } of [ann, bob]) assert.deepEqual(person.texts(guest.user), wanted(name), `what ${name} wrote, at ${person.name}`);
    assert.ok(person.connections > 3, `${person.name} was cut: ${person.connections} connections`);
    assert.ok(person.joins.slice(1).every((outcome) => outcome === 'recovered'), `${person.joins}`);
    for (const states of person.outcomes.values()) assert.deepEqual(states, ['sending', 'sent']);
  }
  const ids = ({ entries }, from) => entries.filter(({ seq }) => seq >= from).map(({ seq, id }) => [seq, id]);
  const from = bob.entries[0].seq;
  assert.deepEqual(ids(ann, from), ids(bob, from), 'one order');
  assert.deepEqual(ids({ entries: await wholeLog(ann) }), ids({ entries: ann.entries.slice(1) }), 'and it is the order of the log');
  console.log(`cut ${counts.join(' and ')} times; ${ann.connections} and ${bob.connections} connections`);
});

test('what was written into a cut line is sent after a reload, once', async () => {
  const [cy, di] = [await Person.arrive('Cy'), await Person.arrive('Di')];
  let text = null;
  const storage = { get: () => text, set: (given) => (text = given) };
  cy.begin(storage);
  di.begin();
  await cy.enter();
  await di.enter();
  const wanted = [];
  for (let n = 1; n <= 20; n += 1) {
    wanted.push(`before the reload ${n}`);
    cy.client.send(cy.room, { text: wanted.at(-1) });
    // Some are stored, of some only the answer is lost, some never leave.
    if (n === 10) await until('some to arrive', () => di.texts(cy.guest.user).length > 2);
    if (n === 10) cy.proxy.cut();
  }
  await until('the cut', () => cy.client.state !== 'connected');
  const ids = cy.client.unsent().map(({ clientId }) => clientId);
  assert.ok(ids.length >= 10, `${ids.length} are not confirmed`);
  cy.client.close();
  cy.proxy.mend();
  cy.begin(storage);
  await until('everything to arrive', () => di.texts(cy.guest.user).length >= wanted.length);
  await until('the answers', () => cy.client.unsent().length === 0);
  assert.deepEqual(di.texts(cy.guest.user), wanted);
  const sent = di.entries.filter(({ clientId }) => ids.includes(clientId)).map(({ clientId }) => clientId);
  assert.deepEqual(sent, ids, 'with the ids they had before');
});

test('a connection outlives its tokens, and is asked to come back later when the server ends', async () => {
  const eve = await Person.arrive('Eve');
  const first = eve.guest.token;
  eve.begin();
  await eve.enter();
  await sleep((TOKEN_SECONDS + 3) * 1000);
  assert.notEqual(eve.guest.token, first);
  assert.deepEqual(eve.states, ['connecting', 'connected'], 'on one connection');
  const clientId = eve.client.send(eve.room, { text: 'still here' });
  await until('the answer', () => eve.outcomes.get(clientId)?.at(-1) === 'sent');
  const code = await server.stop();
  server = undefined;
  assert.equal(code, 0);
  await until('the end', () => eve.client.state === 'waiting');
  assert.equal(eve.states[2], 'draining');
});

test('a server that is killed and started again with its file has lost nothing that was confirmed, and goes on in the same order', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'chat-client-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const options = ['--data', folder, '--secret', 'a secret that both lives of the server know'];
  server = await startServer(...options);
  const { port } = server;
  const [fay, gus] = [await Person.arrive('Fay'), await Person.arrive('Gus')];
  for (const person of [fay, gus]) {
    person.begin();
    await person.enter();
  }
  const wanted = Array.from({ length: 150 }, (_, n) => `${n + 1}`);
  const writing = (async () => {
    for (const text of wanted) {
      fay.client.send(fay.room, { text });
      await sleep(5);
    }
  })();
  for (let kill = 0; kill < 2; kill += 1) {
    const before = gus.texts(fay.guest.user).length;
    await until('some to arrive', () => gus.texts(fay.guest.user).length > before + 10);
    await server.kill();
    server = await startServer(...options, '--listen', `127.0.0.1:${port}`);
  }
  await writing;
  for (const person of [fay, gus]) {
    await until('everything to arrive', () => person.texts(fay.guest.user).length >= wanted.length);
    assert.deepEqual(person.texts(fay.guest.user), wanted);
    assert.ok(person.connections >= 3 && person.joins.slice(1).every((outcome) => outcome === 'recovered'), `${person.joins}`);
    const seqs = person.entries.map(({ seq }) => seq);
    assert.deepEqual(seqs, seqs.map((_, index) => seqs[0] + index));
  }
  await until('the answers', () => fay.client.unsent().length === 0);
});
