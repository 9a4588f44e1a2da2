// Engine.IO, version 4 of its protocol, packet by packet: https://github.com/socketio/engine.io-protocol

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { Polling, Wire, inTime, pause, start } from './protocol-server.mjs';

let server, url;
before(async () => {
  server = await start();
  url = `${server.url}/engine.io`;
});
after(() => server.stop());

test('a handshake says how the session goes on', async () => {
  const { hello } = await Polling.open(url);
  assert.deepEqual({ ...hello, sid: typeof hello.sid }, { sid: 'string', upgrades: ['websocket'], pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
  const wire = new Wire(url);
  const first = JSON.parse((await wire.next()).slice(1));
  assert.deepEqual({ ...first, sid: typeof first.sid }, { sid: 'string', upgrades: [], pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
  assert.notEqual(first.sid, hello.sid);
  wire.close();
});

test('a request that is none of the protocol is 400, with the code of what is wrong', async () => {
  for (const [query, method, code] of [
    ['transport=polling', 'GET', 5],
    ['EIO=abc&transport=polling', 'GET', 5],
    ['EIO=2&transport=polling', 'GET', 5],
    ['EIO=4', 'GET', 0],
    ['EIO=4&transport=abc', 'GET', 0],
    ['EIO=4&transport=polling', 'POST', 2],
    ['EIO=4&transport=polling', 'PUT', 2],
    ['EIO=4&transport=polling&sid=unknown', 'GET', 1],
    ['EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs', 'GET', 1],
    ['EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs', 'POST', 1],
  ]) {
    const response = await fetch(`${url}/?${query}`, { method });
    assert.equal(response.status, 400, `${method} ${query}`);
    const said = await response.json();
    // Node's own server writes the number, this one the same as a text.
    assert.equal(Number(said.code), code, `${method} ${query}: ${JSON.stringify(said)}`);
  }
  assert.equal((await fetch(`${url}/`)).status, 400);
  for (const query of ['', 'EIO=4&transport=abc', 'EIO=abc&transport=websocket']) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/?${query}`);
    socket.addEventListener('error', () => {});
    await inTime('refused', new Promise((resolve) => socket.addEventListener('close', resolve)));
  }
});

test('packets go both ways over long polling, several in one body', async () => {
  const polling = await Polling.open(url);
  const answer = await polling.post('4one\u001e4zwei ü 👋\u001ebAQIDBA==');
  assert.deepEqual([answer.status, await answer.text()], [200, 'ok']);
  assert.deepEqual(await polling.packets(), ['4one', '4zwei ü 👋', 'bAQIDBA==']);
});

test('packets go both ways over a WebSocket, also binary ones and large ones', async () => {
  const wire = new Wire(url);
  await wire.next();
  const large = `4${'x'.repeat(999_999)}`;
  wire.send('4hello', Uint8Array.from([1, 2, 3, 4]), large, '4');
  assert.equal(await wire.next(), '4hello');
  assert.deepEqual([...(await wire.next())], [1, 2, 3, 4]);
  assert.equal(await wire.next(), large);
  assert.equal(await wire.next(), '4');
  wire.close();
});

test('what is larger than maxPayload is refused', async () => {
  const polling = await Polling.open(url);
  assert.equal((await polling.post(`4${'x'.repeat(1_000_000)}`)).status, 413);
  const wire = new Wire(url);
  await wire.next();
  wire.send(`4${'x'.repeat(1_000_000)}`);
  await inTime('closed', wire.closed);
});

test('a packet that is none ends the session', async () => {
  const polling = await Polling.open(url);
  assert.equal((await polling.post('abc')).status, 400);
  assert.equal((await polling.poll()).status, 400);
  const wire = new Wire(url);
  await wire.next();
  wire.send('abc');
  await inTime('closed', wire.closed);
});

test('two requests that poll at once end the session', async () => {
  const polling = await Polling.open(url);
  const first = polling.poll();
  await pause(50);
  const second = await polling.poll();
  assert.equal(second.status, 400);
  assert.equal((await first).status, 200);
  assert.equal((await polling.poll()).status, 400);
});

test('pings come in time and have to be answered, over long polling', async () => {
  const polling = await Polling.open(url);
  for (let round = 0; round < 3; round += 1) {
    const asked = Date.now();
    assert.deepEqual(await polling.packets(), ['2']);
    assert.ok(Date.now() - asked < 450);
    assert.equal((await polling.post('3')).status, 200);
  }
  await pause(600);
  const over = await polling.poll();
  assert.deepEqual([over.status, Number((await over.json()).code)], [400, 1]);
});

test('pings come in time and have to be answered, over a WebSocket', async () => {
  const wire = new Wire(url);
  await wire.next();
  for (let round = 0; round < 3; round += 1) {
    assert.equal(await wire.next({ pings: true, ms: 450 }), '2');
    wire.send('3');
  }
  const began = Date.now();
  assert.equal(await wire.next({ pings: true }), '2');
  await inTime('closed', wire.closed, 1_000);
  assert.ok(Date.now() - began > 300, 'it had its time');
});

test('a client that goes says so, and a request that waits is answered', async () => {
  const polling = await Polling.open(url);
  const [waiting] = await Promise.all([polling.packets(), pause(20).then(() => polling.post('1'))]);
  assert.deepEqual(waiting, ['6']);
  assert.equal((await polling.poll()).status, 400);
  const wire = new Wire(url);
  await wire.next();
  wire.send('1');
  await inTime('closed', wire.closed);
});

test('a session moves to a WebSocket, with what was on its way, and not twice', async () => {
  const polling = await Polling.open(url);
  const waiting = polling.packets();
  await pause(20);
  const wire = new Wire(url, polling.hello.sid);
  await wire.opened;
  wire.send('2probe');
  assert.equal(await wire.next(), '3probe');
  assert.deepEqual(await waiting, ['6']);
  assert.deepEqual(await polling.packets(), ['6'], 'no request waits while it moves');
  wire.send('5', '4hello');
  assert.equal(await wire.next(), '4hello');
  assert.equal((await polling.poll()).status, 400);
  assert.equal((await polling.post('4more')).status, 400);
  const second = new Wire(url, polling.hello.sid);
  await inTime('refused', second.closed);
  wire.send('4still');
  assert.equal(await wire.next(), '4still');
  wire.close();
});

test('a request that breaks off leaves the session for the next one', async () => {
  const polling = await Polling.open(url);
  await new Promise((resolve) => {
    const asked = request(polling.url, () => {});
    asked.on('error', resolve);
    asked.end();
    setTimeout(() => asked.destroy(), 50);
  });
  await pause(50);
  await polling.post('4hello');
  const answer = await polling.poll();
  // The protocol's suite would have it ended (400). Here nothing that is sent from now on is lost.
  assert.deepEqual([answer.status, await answer.text()], [200, '4hello']);
});
