import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jitter } from '../chat-client.js';
import { cursor, page, settled, setup } from './harness.mjs';

const close = (chat, code, more) => chat.socket.say({ type: 'closing', code, message: code, ...more });
const lastState = (chat) => chat.of('state').at(-1);

test('the wait before try n is a random time below min(30 s, 0.5 s · 2^n)', () => {
  for (const attempt of [0, 1, 2, 3, 5, 6, 7, 50, 5000]) {
    const bound = Math.min(30_000, 500 * 2 ** attempt);
    assert.equal(jitter(attempt, () => 0), 0);
    assert.equal(jitter(attempt, () => 0.5), bound / 2);
    for (let i = 0; i < 200; i++) assert.ok(jitter(attempt) >= 0 && jitter(attempt) < bound);
  }
});

test('tries go on without end, with growing waits', async () => {
  const chat = setup({ random: () => 0.999 });
  await chat.connect();
  const waits = [];
  for (let i = 0; i < 30; i++) {
    chat.socket.cut();
    waits.push(Math.round(lastState(chat).retryInMs / 0.999));
    await chat.timers.advance(lastState(chat).retryInMs);
  }
  assert.deepEqual(waits.slice(0, 8), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(chat.sockets.length, 31);
});

test('only a connection that lasted makes the next wait short again', async () => {
  const chat = setup();
  await chat.connect();
  const waits = [];
  for (const lasted of [100, 100, 100, 6000]) {
    await chat.timers.advance(lasted);
    chat.socket.cut();
    waits.push(lastState(chat).retryInMs);
    await chat.timers.advance(waits.at(-1));
    await chat.welcome();
  }
  assert.deepEqual(waits, [250, 500, 1000, 250]);
});

test('a draining server says when to come back, and chance is added', async () => {
  const chat = setup();
  await chat.connect();
  close(chat, 'draining', { reconnectAfterMs: 4_000 });
  assert.deepEqual([lastState(chat).state, lastState(chat).reason, lastState(chat).retryInMs], ['waiting', 'draining', 4_250]);
  await chat.timers.advance(4_249);
  assert.equal(chat.sockets.length, 1);
  await chat.timers.advance(1);
  assert.equal(chat.sockets.length, 2);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-1', 'the token is still good');
});

test('a senseless delay from the server is ignored', async () => {
  for (const reconnectAfterMs of [-5, 'soon', '7', null, Infinity, 2 ** 40]) {
    const chat = setup();
    await chat.connect();
    close(chat, 'draining', { reconnectAfterMs });
    assert.equal(lastState(chat).retryInMs, 250);
  }
});

test('a client that was replaced does not come back by itself, but on start', async () => {
  const chat = setup();
  await chat.inRoom(10);
  close(chat, 'replaced');
  chat.socket.cut(4002);
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['stopped', 'replaced']);
  await chat.timers.advance(100_000);
  assert.equal(chat.sockets.length, 1);
  assert.equal(chat.timers.open, 0);
  await chat.connect();
  assert.equal(chat.last('join').cursor, cursor(10));
});

test('a session that the application ended stays ended', async () => {
  const chat = setup();
  await chat.connect();
  close(chat, 'closed');
  await chat.timers.advance(100_000);
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['stopped', 'closed']);
  assert.equal(chat.sockets.length, 1);
});

test('the code of the WebSocket counts where the closing frame was lost', async () => {
  for (const [code, state, tokens] of [[4000, 'waiting', 1], [4001, 'waiting', 2], [4002, 'stopped', 1], [4003, 'waiting', 1], [4004, 'stopped', 1], [4005, 'waiting', 1], [4006, 'waiting', 1], [4011, 'waiting', 1], [1006, 'waiting', 1], [1001, 'waiting', 1], [1000, 'waiting', 1]]) {
    const chat = setup();
    await chat.connect();
    chat.socket.cut(code);
    assert.equal(lastState(chat).state, state, `${code}`);
    await chat.timers.advance(1_000);
    assert.equal(chat.tokens.length, tokens, `${code}`);
  }
});

for (const code of ['token_expired', 'token_revoked', 'unauthenticated']) {
  test(`after ${code} a new token is fetched first`, async () => {
    const chat = setup();
    await chat.connect();
    close(chat, code);
    await chat.timers.advance(500);
    await chat.welcome();
    assert.equal(chat.last('connect').token, 'token-2');
    chat.client.close();
    await chat.connect();
    assert.deepEqual(chat.tokens, [{ fresh: false }, { fresh: true }, { fresh: false }]);
  });
}

test('a token refused in answer to connect is not tried again', async () => {
  const chat = setup();
  chat.client.start();
  await settled();
  chat.socket.open();
  chat.fail(chat.last('connect'), 'unauthenticated');
  assert.equal(lastState(chat).state, 'waiting');
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-2');
});

test('a token that cannot be fetched is fetched again later', async () => {
  const chat = setup({ token: (n) => (n === 1 ? Promise.reject(new Error('offline')) : 'good') });
  chat.client.start();
  await settled();
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['waiting', 'token_unavailable']);
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'good');
});

test('a token that does not come is asked for again', async () => {
  let late;
  const chat = setup({ token: (n) => (n === 1 ? new Promise((resolve) => (late = resolve)) : 'second') });
  chat.client.start();
  await chat.timers.advance(29_999);
  assert.equal(chat.client.state, 'connecting');
  await chat.timers.advance(1);
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['waiting', 'token_unavailable']);
  late('first');
  await chat.timers.advance(250);
  await chat.welcome();
  assert.equal(chat.sockets.length, 1);
  assert.equal(chat.last('connect').token, 'second');
});

test('a token past its time is not tried on a new connection', async () => {
  const chat = setup();
  await chat.connect({ expiresAt: new Date(8_000).toISOString() });
  await chat.timers.advance(9_000);
  chat.socket.cut();
  await chat.timers.advance(500);
  chat.socket.cut();
  await chat.timers.advance(1_000);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-2', 'and its successor is not thrown away with it');
});

test('on expiring a new token is sent on the same connection', async () => {
  const chat = setup();
  await chat.connect();
  chat.socket.say({ type: 'expiring', expiresAt: 't' });
  await settled();
  assert.equal(chat.last('token').token, 'token-2');
  chat.answer(chat.last('token'), { type: 'ok', expiresAt: '2100-01-01T00:00:00.000Z' });
  assert.equal(chat.sockets.length, 1);
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-2');
});

test('a renewal that fails is tried again while the connection lasts', async () => {
  const chat = setup({ token: (n) => (n === 2 ? Promise.reject(new Error('offline')) : `token-${n}`) });
  await chat.connect();
  chat.socket.say({ type: 'expiring', expiresAt: 't' });
  await chat.timers.advance(250);
  assert.equal(chat.last('token').token, 'token-3');
  chat.fail(chat.last('token'), 'busy', { retryable: true, retryAfterMs: 100 });
  await chat.timers.advance(100);
  assert.equal(chat.last('token').token, 'token-4');
});

test('a new token that is refused closes nothing, and the next connection begins with another', async () => {
  const chat = setup();
  await chat.connect();
  chat.socket.say({ type: 'expiring', expiresAt: 't' });
  await settled();
  chat.fail(chat.last('token'), 'token_revoked');
  assert.equal(chat.client.state, 'connected');
  chat.socket.cut();
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.last('connect').token, 'token-3');
  assert.deepEqual(chat.tokens.at(-1), { fresh: true });
});

test('a connection silent for twice the heartbeat is dead', async () => {
  const chat = setup({ heartbeat: 10 });
  await chat.connect();
  await chat.timers.advance(19_000);
  chat.socket.say({ type: 'heads', heads: {} });
  await chat.timers.advance(19_999);
  assert.equal(chat.client.state, 'connected');
  await chat.timers.advance(1);
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['waiting', 'silent']);
  assert.equal(chat.socket.readyState, 3, 'the dead socket is closed');
});

test('a connection that never says connected is given up', async () => {
  const chat = setup();
  chat.client.start();
  await settled();
  await chat.timers.advance(10_000);
  assert.equal(lastState(chat).reason, 'connect_timeout');
  await chat.timers.advance(250);
  assert.equal(chat.sockets.length, 2);
});

test('a socket that fails before it opens is done with, whether it says close or not', async () => {
  for (const saysClose of [false, true]) {
    const chat = setup();
    chat.client.start();
    await settled();
    chat.socket.onerror({});
    if (saysClose) chat.socket.cut();
    assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['waiting', 'disconnected']);
    await chat.timers.advance(250);
    await chat.welcome();
    assert.deepEqual([chat.client.state, chat.sockets.length], ['connected', 2]);
  }
});

test('an error of an open socket waits for the close and its code', async () => {
  const chat = setup();
  await chat.connect();
  chat.socket.onerror({});
  assert.equal(chat.client.state, 'connected');
  chat.socket.cut(4002);
  assert.equal(lastState(chat).reason, 'replaced');
});

test('an old socket that wakes up late changes nothing', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const old = chat.socket;
  close(chat, 'idle');
  await chat.timers.advance(500);
  await chat.welcome();
  chat.recovered(10);
  old.say({ type: 'noticesLost' });
  old.say({ type: 'closing', code: 'replaced' });
  old.cut(4002);
  chat.say(11);
  assert.equal(chat.client.state, 'connected');
  assert.deepEqual(chat.seqs(), [11]);
  assert.equal(chat.of('noticesLost').length, 0);
});

test('a server that knows nothing of a connection is connected to anew, and the message sent again', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  chat.fail(chat.last('send'), 'not_connected');
  await chat.timers.advance(500);
  await chat.welcome();
  assert.equal(chat.sockets.length, 2);
  assert.equal(chat.last('send').clientId, clientId);
  assert.deepEqual(chat.states(clientId), ['sending']);
});

test('a client error stops, and the message that was under way has failed', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const clientId = chat.client.send('general', { text: 'one' });
  await settled();
  close(chat, 'frame_too_large');
  assert.deepEqual([lastState(chat).state, lastState(chat).reason], ['stopped', 'frame_too_large']);
  assert.deepEqual(chat.states(clientId), ['sending', 'failed']);
});

test('of several messages a client error fails the one that was under way, and no other', async () => {
  const chat = setup();
  await chat.inRoom(10);
  const first = chat.client.send('general', { text: 'one' });
  const second = chat.client.send('general', { text: 'two' });
  await settled();
  close(chat, 'malformed');
  assert.deepEqual([chat.states(first), chat.states(second)], [['sending', 'failed'], ['sending']]);
  await chat.connect();
  assert.deepEqual(chat.sent('send').map(({ clientId }) => clientId), [second]);
});

test('a request is answered with the frame, and refused with code and retry advice', async () => {
  const chat = setup();
  await chat.connect();
  const history = chat.client.request('history', { room: 'general', limit: 5 });
  assert.equal(chat.last('history').limit, 5);
  chat.answer(chat.last('history'), { type: 'history', page: page([1, 2], 2) });
  assert.equal((await history).page.entries.length, 2);
  const rooms = chat.client.request('rooms');
  chat.fail(chat.last('rooms'), 'rate_limited', { retryable: true, retryAfterMs: 900 });
  await assert.rejects(rooms, { code: 'rate_limited', message: 'rate_limited', retryable: true, retryAfterMs: 900 });
});

test('presence that was asked for is an answer and not an event', async () => {
  const chat = setup();
  await chat.connect();
  const presence = chat.client.request('presence', { users: ['bob'] });
  chat.answer(chat.last('presence'), { type: 'presence', users: [{ user: 'bob', online: false }] });
  assert.equal((await presence).users[0].user, 'bob');
  assert.equal(chat.of('presence').length, 0);
});

test('a request without an answer is given up after 15 s', async () => {
  const chat = setup();
  await chat.connect();
  const refused = assert.rejects(chat.client.request('rooms'), { code: 'timeout', retryable: true });
  await chat.timers.advance(15_000);
  await refused;
});

test('a request is refused at once without a connection, and when it is lost', async () => {
  const chat = setup();
  await assert.rejects(chat.client.request('rooms'), { code: 'disconnected', retryable: true });
  await chat.connect();
  const refused = assert.rejects(chat.client.request('rooms'), { code: 'disconnected' });
  chat.socket.cut();
  await refused;
});

test('close clears every timer and closes the socket', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.socket.say({ type: 'heads', heads: { general: cursor(20) } });
  chat.client.join('other');
  chat.fail(chat.last('join'), 'busy', { retryable: true, retryAfterMs: 500 });
  chat.client.send('general', { text: 'one' });
  chat.client.send('other', { text: 'two' });
  await settled();
  chat.fail(chat.last('send'), 'busy', { retryable: true, retryAfterMs: 500 });
  chat.client.read('general', cursor(10));
  chat.fail(chat.last('read'), 'busy', { retryable: true, retryAfterMs: 500 });
  chat.client.request('rooms').catch(() => {});
  assert.ok(chat.timers.open > 5);
  chat.client.close();
  assert.equal(chat.timers.open, 0);
  assert.equal(chat.socket.readyState, 3);
  assert.equal(lastState(chat).state, 'stopped');
});

test('close while waiting, and while a token is fetched, holds', async () => {
  const chat = setup();
  chat.client.start();
  chat.client.close();
  await settled();
  assert.equal(chat.sockets.length, 0);
  await chat.connect();
  chat.socket.cut();
  chat.client.close();
  await chat.timers.advance(100_000);
  assert.equal(chat.sockets.length, 1);
  assert.equal(chat.timers.open, 0);
});

test('close by whoever listens holds at any moment', async () => {
  for (const state of ['connecting', 'connected', 'waiting']) {
    const chat = setup();
    chat.client.join('general');
    chat.client.send('general', { text: 'one' });
    chat.client.on('state', (detail) => detail.state === state && chat.client.close());
    chat.client.start();
    await settled();
    if (state !== 'connecting') await chat.welcome();
    if (state === 'waiting') chat.socket.cut();
    await settled();
    assert.equal(chat.client.state, 'stopped', state);
    assert.equal(chat.timers.open, 0, state);
    if (state === 'connected') assert.deepEqual(chat.socket.sent.map(({ type }) => type), ['connect']);
  }
});

test('on listens until its answer is called', async () => {
  const chat = setup();
  const heard = [];
  const off = chat.client.on('state', ({ state }) => heard.push(state));
  await chat.connect();
  off();
  chat.socket.cut();
  assert.deepEqual(heard, ['connecting', 'connected']);
});

test('start while waiting tries at once, and while connected does nothing', async () => {
  const chat = setup();
  await chat.connect();
  chat.client.start();
  chat.socket.cut();
  chat.client.start();
  await chat.welcome();
  assert.equal(chat.sockets.length, 2);
  await chat.timers.advance(40_000);
  assert.equal(chat.sockets.length, 2);
});

test('unsent messages and rooms outlive close and start', async () => {
  const chat = setup();
  await chat.inRoom(10);
  chat.client.send('general', { text: 'one' });
  await settled();
  chat.client.close();
  await chat.connect();
  assert.deepEqual(chat.socket.sent.map(({ type }) => type), ['connect', 'join', 'send']);
});

test('an address that is none stops the client', async () => {
  const { ChatClient } = await import('../chat-client.js');
  const states = [];
  const Broken = class { constructor() { throw new SyntaxError('not a url'); } };
  const client = new ChatClient({ url: 'not a url', token: async () => 't', WebSocket: Broken });
  client.addEventListener('state', ({ detail }) => states.push([detail.state, detail.reason]));
  client.start();
  await settled();
  assert.deepEqual(states, [['connecting', undefined], ['stopped', 'invalid_url']]);
});
