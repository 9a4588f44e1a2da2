// What goes over REST.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { event, jwt, request } from '../server.mjs';
import { Shop, done, refused, texts, token } from './shop.mjs';

let shop;
before(async () => {
  shop = await Shop.open({ servers: 2 });
  await shop.store('7', 'sue', 'Sue’s flowers');
  await shop.store('8', 'sue', 'Sue’s pots');
  await shop.store('9', 'tom', 'Tom’s tools');
});
after(() => shop.close());

const seller = { role: 'SELLER' };

function refusal({ status, body }, expected) {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(body.statusCode, expected);
  assert.equal(typeof body.message, 'string');
  assert.equal(typeof body.error, 'string');
}

test('creating a room again returns the one that exists, also at once and on two servers', async () => {
  const calls = Array.from({ length: 24 }, (_, number) => shop.room('bea', '7', { server: shop.servers[number % 2] }));
  const rooms = await Promise.all(calls);
  assert.equal(new Set(rooms.map(({ id }) => id)).size, 1);
  const [{ count }] = await shop.database.query('SELECT count(*)::int FROM chat.rooms');
  assert.equal(count, 1);
  const { store, buyerId, lastMessage, lastMessageAt, unreadCount, createdAt } = rooms[0];
  assert.deepEqual(store, { id: '7', name: 'Sue’s flowers' });
  assert.deepEqual({ buyerId, lastMessage, lastMessageAt, unreadCount }, { buyerId: 'bea', lastMessage: null, lastMessageAt: null, unreadCount: 0 });
  assert.equal(new Date(createdAt).toISOString(), createdAt);
  assert.equal((await shop.room('bea', 7)).id, rooms[0].id, 'an id as a number');
  assert.notEqual((await shop.room('bea', '8')).id, rooms[0].id);
  assert.notEqual((await shop.room('ben', '7')).id, rooms[0].id);
});

test('every role may buy, nobody from a store of their own or one that is not there', async () => {
  for (const role of ['USER', 'SELLER', 'ADMIN']) await shop.room(`buyer-${role}`, '9', { role });
  await shop.room('sue', '9', seller);
  refusal(await shop.rest('sue', 'POST', '/user/chat-room', { ...seller, body: { storeId: '7' } }), 400);
  refusal(await shop.rest('bea', 'POST', '/user/chat-room', { body: { storeId: 'none' } }), 404);
});

test('bodies and paths of another form are refused', async () => {
  for (const body of [{}, { storeId: null }, { storeId: ['7'] }, { storeId: -1 }, 'not json', '"7"']) {
    refusal(await shop.rest('bea', 'POST', '/user/chat-room', { body }), 400);
  }
  refusal(await shop.rest('bea', 'POST', '/user/chat-room', { body: { storeId: 'x'.repeat(20_000) } }), 413);
  const plain = { token: token('bea'), body: '{"storeId":"7"}', headers: { 'content-type': 'text/plain' } };
  refusal(await request('POST', `${shop.servers[0].url}/user/chat-room`, plain), 415);
  refusal(await shop.rest('bea', 'GET', '/user/chat-room/two%20words/messages'), 400);
  refusal(await shop.rest('bea', 'GET', '/nowhere'), 404);
  refusal(await shop.rest('bea', 'DELETE', '/user/chat-room'), 404);
});

test('every route needs a token that holds', async () => {
  const { id } = await shop.room('bea', '7');
  const routes = [
    ['POST', '/user/chat-room'], ['GET', '/user/chat-room'], ['GET', `/user/chat-room/${id}/messages`], ['POST', `/user/chat-room/${id}/read`],
    ['GET', '/seller/chat-room/store/7'], ['GET', `/seller/chat-room/${id}/messages`], ['POST', `/seller/chat-room/${id}/read`],
  ];
  const wrong = [undefined, 'nonsense', token('bea', 'GUEST'), jwt({ sub: 'bea' }), token('bea', 'USER', { seconds: -3600 }),
    token('bea', 'USER', { secret: 'another secret that is long enough as well' })];
  for (const [method, path] of routes) {
    for (const given of wrong) {
      refusal(await request(method, shop.servers[0].url + path, { token: given, body: method === 'POST' ? { storeId: '7' } : undefined }), 401);
    }
  }
});

test('the rooms of either side, with preview, time and unread count, newest message first', async () => {
  const rooms = {};
  for (const id of ['7', '8', '9']) rooms[id] = (await shop.room('lister', id)).id;
  const [lister, sue, tom] = [await shop.client('lister'), await shop.client('sue', seller), await shop.client('tom', seller)];
  await done(lister, 'send-message', { roomId: rooms['7'], text: 'to flowers' });
  await done(tom, 'send-message', { roomId: rooms['9'], text: 'from tools' });
  await done(sue, 'send-message', { roomId: rooms['8'], text: 'from pots 1' });
  await done(sue, 'send-message', { roomId: rooms['8'], text: 'from pots 2' });
  const mine = async () => (await shop.rest('lister', 'GET', '/user/chat-room', { server: shop.servers[1] })).body;
  const brief = (list) => list.map(({ store, lastMessage, unreadCount }) => [store.name, lastMessage, unreadCount]);
  const list = await mine();
  assert.deepEqual(brief(list), [['Sue’s pots', 'from pots 2', 2], ['Tom’s tools', 'from tools', 1], ['Sue’s flowers', 'to flowers', 0]]);
  const times = list.map(({ lastMessageAt }) => Date.parse(lastMessageAt));
  assert.deepEqual(times, times.toSorted((a, b) => b - a));
  // The other side.
  const ofStore = async (id, user = 'sue') => (await shop.rest(user, 'GET', `/seller/chat-room/store/${id}`, seller)).body;
  const flowers = (await ofStore('7')).find(({ buyerId }) => buyerId === 'lister');
  assert.deepEqual([flowers.lastMessage, flowers.unreadCount], ['to flowers', 1]);
  assert.ok((await ofStore('7')).every(({ store }) => store.id === '7'));
  assert.ok((await ofStore('9', 'tom')).every(({ store }) => store.id === '9'));
  // Who sells sees no rooms of a store among those where they buy.
  assert.ok(!(await shop.rest('sue', 'GET', '/user/chat-room', seller)).body.some(({ store }) => store.id !== '9'));
  // Reading is each side's own.
  const read = await shop.rest('lister', 'POST', `/user/chat-room/${rooms['8']}/read`);
  assert.deepEqual([read.status, read.body.unreadCount], [201, 0]);
  assert.deepEqual(brief(await mine()).map(([, , unread]) => unread), [0, 1, 0]);
  await shop.rest('sue', 'POST', `/seller/chat-room/${rooms['7']}/read`, seller);
  assert.equal((await ofStore('7')).find(({ buyerId }) => buyerId === 'lister').unreadCount, 0);
  await done(sue, 'send-message', { roomId: rooms['8'], text: 'from pots 3' });
  assert.deepEqual(brief(await mine())[0], ['Sue’s pots', 'from pots 3', 1]);
  const again = await shop.room('lister', '8');
  assert.deepEqual([again.lastMessage, again.unreadCount], ['from pots 3', 1]);
  // By pages.
  const paged = [];
  for (let path = '/user/chat-room?limit=1'; path;) {
    const { body, headers } = await shop.rest('lister', 'GET', path);
    assert.ok(body.length <= 1);
    paged.push(...body);
    path = /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
  }
  assert.deepEqual(paged, await mine());
  refusal(await shop.rest('lister', 'GET', '/user/chat-room?after=nonsense'), 400);
});

test('history by page and by cursor, newest first', async () => {
  const { id } = await shop.room('reader', '7');
  const reader = await shop.client('reader');
  const said = Array.from({ length: 125 }, (_, number) => `m${number}`);
  for (const text of said) await done(reader, 'send-message', { roomId: id, text });
  const newest = said.toReversed();
  const page = async (query, options) => {
    const { status, body } = await shop.rest('reader', 'GET', `/user/chat-room/${id}/messages${query}`, options);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const first = await page('');
  assert.deepEqual(texts(first.messages), newest.slice(0, 50));
  assert.deepEqual(first.meta, { page: 1, limit: 50, total: 125, totalPages: 3, hasMore: true });
  const { text, senderId, senderType, roomId } = first.messages[0];
  assert.deepEqual({ text, senderId, senderType, roomId }, { text: 'm124', senderId: 'reader', senderType: 'USER', roomId: id });
  assert.deepEqual(texts((await page('?page=2')).messages), newest.slice(50, 100));
  const last = await page('?page=3', { server: shop.servers[1] });
  assert.deepEqual([texts(last.messages), last.meta.hasMore], [newest.slice(100), false]);
  for (const beyond of ['4', '1000', '18446744073709551615']) {
    const { messages, meta } = await page(`?page=${beyond}`);
    assert.deepEqual([messages, meta.hasMore, meta.total], [[], false, 125]);
  }
  assert.deepEqual(texts((await page('?page=7&limit=20')).messages), newest.slice(120));
  assert.deepEqual(texts((await page('?limit=1&page=125')).messages), ['m0']);
  const most = await page('?limit=5000');
  assert.deepEqual([most.messages.length, most.meta.limit], [100, 100]);
  for (const wrong of ['?page=0', '?page=-1', '?page=x', '?limit=0', '?limit=-5', '?limit=x', `?page=2&before=${first.messages[0].id}`]) {
    refusal(await shop.rest('reader', 'GET', `/user/chat-room/${id}/messages${wrong}`), 400);
  }
  // While people write, a page by number shifts and one by cursor does not.
  const before = first.messages.at(-1).id;
  await done(reader, 'send-message', { roomId: id, text: 'meanwhile' });
  assert.deepEqual(texts((await page(`?before=${before}`)).messages), newest.slice(50, 100));
  assert.deepEqual(texts(await shop.all('reader', id)), [...said, 'meanwhile']);
  for (const unknown of ['nonsense', '01ARZ3NDEKTSV4RRFFQ69G5FAV']) {
    refusal(await shop.rest('reader', 'GET', `/user/chat-room/${id}/messages?before=${unknown}`), 404);
  }
});

test('only the two sides read and mark, each by their own routes', async () => {
  const { id } = await shop.room('private', '7');
  const socket = await shop.client('private');
  await done(socket, 'send-message', { roomId: id, text: 'between us' });
  const both = (side) => [['GET', `/${side}/chat-room/${id}/messages`], ['POST', `/${side}/chat-room/${id}/read`]];
  for (const [method, path] of both('user')) {
    for (const [user, role] of [['mallory', 'USER'], ['mallory', 'ADMIN'], ['tom', 'SELLER'], ['sue', 'SELLER']]) {
      refusal(await shop.rest(user, method, path, { role }), 403);
    }
    const { status } = await shop.rest('private', method, path);
    assert.ok(status === 200 || status === 201);
  }
  for (const [method, path] of both('seller')) {
    for (const [user, role] of [['sue', 'USER'], ['tom', 'SELLER'], ['mallory', 'ADMIN'], ['private', 'SELLER']]) {
      refusal(await shop.rest(user, method, path, { role }), 403);
    }
    for (const role of ['SELLER', 'ADMIN']) assert.ok((await shop.rest('sue', method, path, { role })).status < 300);
  }
  const unknown = '/user/chat-room/no-such-room';
  refusal(await shop.rest('private', 'GET', `${unknown}/messages`), 403);
  refusal(await shop.rest('private', 'POST', `${unknown}/read`), 403);
});

test('a store’s rooms are its owner’s, who sells', async () => {
  const path = '/seller/chat-room/store/7';
  refusal(await shop.rest('sue', 'GET', path, { role: 'USER' }), 403);
  refusal(await shop.rest('tom', 'GET', path, seller), 403);
  refusal(await shop.rest('mallory', 'GET', path, { role: 'ADMIN' }), 403);
  refusal(await shop.rest('sue', 'GET', '/seller/chat-room/store/none', seller), 404);
  for (const role of ['SELLER', 'ADMIN']) assert.equal((await shop.rest('sue', 'GET', path, { role })).status, 200);
});

test('a store that changes hands takes its rooms along', async () => {
  await shop.store('10', 'old');
  const { id } = await shop.room('loyal', '10');
  const [loyal, old] = [await shop.client('loyal'), await shop.client('old', { ...seller, server: shop.servers[1] })];
  await done(old, 'join-room', { roomId: id });
  await done(old, 'send-message', { roomId: id, text: 'goodbye' });
  await shop.store('10', 'new');
  const owned = (user) => shop.rest(user, 'GET', '/seller/chat-room/store/10', seller);
  refusal(await owned('old'), 403);
  const { body } = await owned('new');
  assert.deepEqual(body.map((room) => [room.id, room.lastMessage]), [[id, 'goodbye']]);
  refusal(await shop.rest('old', 'GET', `/seller/chat-room/${id}/messages`, seller), 403);
  assert.equal((await old.timeout(10_000).emitWithAck('send-message', { roomId: id, text: 'still me' })).success, false);
  await done(await shop.client('new', seller), 'send-message', { roomId: id, text: 'welcome' });
  await done(loyal, 'send-message', { roomId: id, text: 'hello' });
  const all = await shop.all('loyal', id);
  assert.deepEqual(all.map(({ text, senderId, senderType }) => [text, senderId, senderType]),
    [['goodbye', 'old', 'STORE'], ['welcome', 'new', 'STORE'], ['hello', 'loyal', 'USER']]);
});

test('pages of the origins that are listed may use it from a browser, others may not', async () => {
  const [listed, other] = ['https://shop.example', 'https://elsewhere.example'];
  shop.env.ALLOWED_ORIGINS = `${listed}, http://localhost:3000`;
  const server = await shop.start();
  for (const origin of [listed, other]) {
    const allowed = origin === listed ? origin : null;
    const preflight = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' };
    for (const path of ['/user/chat-room', '/socket.io/?EIO=4&transport=polling']) {
      const { headers } = await request('OPTIONS', server.url + path, { headers: preflight });
      assert.equal(headers.get('access-control-allow-origin'), allowed);
    }
    const polling = await request('GET', `${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { origin } });
    assert.equal(polling.headers.get('access-control-allow-origin'), allowed);
    const options = { server, connects: false, reconnection: false, extraHeaders: { origin } };
    const socket = await shop.client('bea', { ...options, transports: ['websocket'] });
    if (allowed) await event(socket, 'connect');
    else await refused(socket);
  }
});

test('health names each dependency', async () => {
  const { status, body } = await request('GET', `${shop.servers[0].url}/health`);
  assert.equal(status, 200);
  assert.equal(body.status, 'ok');
  assert.equal(body.dependencies.postgres.status, 'ok');
});

test('everything that is wrong with the settings is named at once, and the code is 2', async () => {
  const { run } = await import('../server.mjs');
  const { code, stderr } = await run('example-axum-shop', { env: { LISTEN: 'nowhere', JWT_SECRET: 'short' } });
  assert.equal(code, 2);
  for (const name of ['DATABASE_URL', 'JWT_SECRET', 'LISTEN']) assert.match(stderr, new RegExp(`^ {2}${name}: `, 'm'));
});
