// Accounts, rooms, members, history and read marks over HTTP, and what is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jwt, request, unique, until } from '../server.mjs';
import { PASSWORD, Stage, ask, text } from './stage.mjs';

let stage, gateway;

before(async () => {
  stage = await Stage.set();
  [gateway] = await Promise.all([stage.gateway(), stage.worker()]);
});
after(() => stage?.end());

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

/** A refusal in NestJS's form. */
function refused({ status, body }, expected, message) {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(body.statusCode, expected);
  assert.ok(typeof body.message === 'string' && body.message !== '' && typeof body.error === 'string');
  if (message) assert.match(body.message, message);
}

const register = (body) => request('POST', `${gateway.url}/auth/register`, { body });
const login = (body) => request('POST', `${gateway.url}/auth/login`, { body });

test('an account is registered once, and logs in with its password alone', async () => {
  const email = `${unique('Ann')}@Example.com`;
  const made = await register({ email, password: PASSWORD });
  assert.equal(made.status, 201);
  assert.equal(made.body.email, email.toLowerCase());
  assert.equal(made.body.passwordHash ?? made.body.password, undefined);
  refused(await register({ email: email.toLowerCase(), password: PASSWORD }), 409);
  const { status, body } = await login({ email: email.toUpperCase(), password: PASSWORD });
  assert.equal(status, 201);
  const { sub, email: claimed, iat, exp } = claims(body.accessToken);
  assert.deepEqual([sub, claimed, exp - iat, body.expiresIn], [made.body.id, email.toLowerCase(), 86_400, 86_400]);
  assert.equal((await request('GET', `${gateway.url}/rooms`, { token: body.accessToken })).status, 200);
  const [row] = await stage.database.query('SELECT password_hash FROM group_chat.accounts WHERE id = $1', [made.body.id]);
  assert.match(row.password_hash, /^\$argon2id\$/);
});

test('a wrong password and an unknown address are the same refusal, and take as long', async () => {
  const email = `${unique('ann')}@example.com`;
  await register({ email, password: PASSWORD });
  const time = async (address) => {
    const began = performance.now();
    const answer = await login({ email: address, password: 'a wrong password' });
    return { answer, took: performance.now() - began };
  };
  const [known, unknown] = [[], []];
  for (let round = 0; round < 5; round++) {
    known.push(await time(email));
    unknown.push(await time(`${unique('nobody')}@example.com`));
  }
  for (const { answer } of [...known, ...unknown]) {
    refused(answer, 401);
    assert.deepEqual(answer.body, known[0].answer.body);
  }
  const least = (all) => Math.min(...all.map(({ took }) => took));
  assert.ok(least(unknown) > least(known) / 3, `${least(unknown)} ms, ${least(known)} ms`);
});

test('what is no account is refused with what is wrong', async () => {
  const email = `${unique('ann')}@example.com`;
  refused(await register({ email: 'ann', password: PASSWORD }), 400, /email/);
  refused(await register({ email, password: 'short' }), 400, /password/);
  refused(await register({ email, password: 'x'.repeat(129) }), 400, /password/);
  refused(await register({ email }), 400, /password/);
  refused(await register({ email, password: 7 }), 400, /password/);
  refused(await register('{'), 400);
  refused(await register({ email, password: 'x'.repeat(20_000) }), 413);
  refused(await login({ email: 'ann', password: PASSWORD }), 400, /email/);
  refused(await login({ email, password: 'x'.repeat(129) }), 401);
});

test('many at once log in, and none is lost', async () => {
  const people = await Promise.all(Array.from({ length: 12 }, () => stage.person(gateway)));
  assert.equal(new Set(people.map(({ id }) => id)).size, 12);
  for (const person of people) assert.equal(claims(person.token).sub, person.id);
});

test('every path but those of accounts and health wants a token', async () => {
  const ann = stage.stranger(gateway);
  const room = await ann.room();
  const paths = [['POST', '/rooms'], ['POST', `/rooms/${room}/join`], ['GET', '/rooms'], ['GET', `/rooms/${room}/members`],
    ['GET', `/rooms/${room}/messages`], ['POST', `/rooms/${room}/read`]];
  const bad = [undefined, 'x.y.z', jwt({ sub: ann.id, email: ann.email }, { seconds: -60 }),
    jwt({ sub: ann.id, email: ann.email }, { secret: 'another secret, and long enough as well' }), jwt({ sub: ann.id })];
  for (const [method, path] of paths) {
    const body = method === 'POST' ? {} : undefined;
    for (const token of bad) refused(await request(method, gateway.url + path, { token, body }), 401);
  }
  refused(await ann.call('GET', '/nothing'), 404, /Cannot GET/);
  refused(await ann.call('DELETE', '/rooms'), 404);
});

test('rooms are made, joined and listed, and members see each other', async () => {
  const [ann, bob] = [await stage.person(gateway), await stage.person(gateway)];
  const made = await ann.call('POST', '/rooms', { name: '  tea  ' });
  assert.equal(made.status, 201);
  const { id, name, createdAt } = made.body;
  assert.ok(name === 'tea' && !Number.isNaN(Date.parse(createdAt)));
  refused(await bob.call('GET', `/rooms/${id}/members`), 403);
  assert.deepEqual((await bob.call('GET', '/rooms')).body, []);
  for (let time = 0; time < 2; time++) {
    const joined = await bob.call('POST', `/rooms/${id}/join`);
    assert.deepEqual([joined.status, joined.body], [201, { success: true, roomId: id }]);
  }
  // Joining again takes no role away.
  assert.equal((await ann.call('POST', `/rooms/${id}/join`)).status, 201);
  const members = (await bob.call('GET', `/rooms/${id}/members`)).body;
  assert.deepEqual(Object.fromEntries(members.map(({ userId, role }) => [userId, role])), { [ann.id]: 'owner', [bob.id]: 'member' });
  const [listed] = (await bob.call('GET', '/rooms')).body;
  assert.deepEqual([listed.id, listed.name, listed.unreadCount, listed.lastMessage], [id, 'tea', 0, null]);
  refused(await ann.call('POST', '/rooms', { name: ' ' }), 400);
  refused(await ann.call('POST', '/rooms', { name: 'x'.repeat(201) }), 400);
  refused(await ann.call('POST', `/rooms/${unique('room')}/join`), 404);
  refused(await ann.call('POST', '/rooms/a%20b/join'), 400);
});

test('lists have pages', async () => {
  const ann = stage.stranger(gateway);
  const rooms = [];
  for (let made = 0; made < 5; made++) rooms.push(await ann.room());
  const found = [];
  let path = '/rooms?limit=2';
  while (path) {
    const { status, body, headers } = await ann.call('GET', path);
    assert.ok(status === 200 && body.length <= 2);
    found.push(...body.map(({ id }) => id));
    path = headers.get('link')?.match(/<(.*)>; rel="next"/)[1];
  }
  assert.deepEqual(found.toSorted(), rooms.toSorted());
  refused(await ann.call('GET', '/rooms?limit=0'), 400);
  refused(await ann.call('GET', '/rooms?after=nowhere'), 400);
  await stage.stranger(gateway).call('POST', `/rooms/${rooms[0]}/join`);
  const { body, headers } = await ann.call('GET', `/rooms/${rooms[0]}/members?limit=1`);
  const next = headers.get('link').match(/<(.*)>; rel="next"/)[1];
  const rest = (await ann.call('GET', next)).body;
  assert.ok(body.length === 1 && rest.length === 1 && body[0].userId < rest[0].userId);
});

test('history goes back and forth from any message, and never over an end', async () => {
  const ann = stage.stranger(gateway);
  const { room, ids } = await filled(ann, 120);
  const page = async (query) => {
    const { status, body } = await ann.call('GET', `/rooms/${room}/messages${query}`);
    assert.equal(status, 200);
    return [body.messages.map(({ id }) => id), body.hasMore];
  };
  assert.deepEqual(await page(''), [ids.slice(70), true]);
  assert.deepEqual(await page(`?before=${ids[70]}`), [ids.slice(20, 70), true]);
  assert.deepEqual(await page(`?before=${ids[20]}&limit=50`), [ids.slice(0, 20), false]);
  assert.deepEqual(await page(`?before=${ids[0]}`), [[], false]);
  assert.deepEqual(await page(`?after=${ids[0]}&limit=10`), [ids.slice(1, 11), true]);
  assert.deepEqual(await page(`?after=${ids[100]}`), [ids.slice(101), false]);
  assert.deepEqual(await page(`?after=${ids[119]}`), [[], false]);
  // More than there may be is as many as there may be, and one call brings all.
  assert.deepEqual(await page(`?after=${ids[0]}&limit=100000`), [ids.slice(1), false]);
  const path = `/rooms/${room}/messages`;
  refused(await ann.call('GET', `${path}?limit=0`), 400);
  refused(await ann.call('GET', `${path}?limit=-1`), 400);
  refused(await ann.call('GET', `${path}?limit=x`), 400);
  refused(await ann.call('GET', `${path}?before=${ids[1]}&after=${ids[0]}`), 400);
  refused(await ann.call('GET', `${path}?after=no-id`), 400);
  refused(await ann.call('GET', `${path}?after=01ARZ3NDEKTSV4RRFFQ69G5FAV`), 404);
  // A message of another room is no place in this one.
  const elsewhere = await filled(ann, 1);
  refused(await ann.call('GET', `${path}?after=${elsewhere.ids[0]}`), 404);
  refused(await stage.stranger(gateway).call('GET', path), 403);
  refused(await ann.call('GET', `/rooms/${unique('room')}/messages`), 403);
});

test('what is read stays read: the mark goes forward only', async () => {
  const [ann, bob] = [stage.stranger(gateway), stage.stranger(gateway)];
  const { room, ids } = await filled(ann, 5, bob);
  const mark = async (body) => (await bob.call('POST', `/rooms/${room}/read`, body)).body;
  const unread = async () => (await bob.call('GET', '/rooms')).body.find(({ id }) => id === room).unreadCount;
  assert.equal(await unread(), 5);
  const at = ({ roomId, messageId, unreadCount }) => [roomId, messageId, unreadCount];
  assert.deepEqual(at(await mark({ messageId: ids[2] })), [room, ids[2], 2]);
  assert.deepEqual(at(await mark({ messageId: ids[0] })), [room, ids[2], 2]);
  assert.equal(await unread(), 2);
  assert.deepEqual(at(await mark({ messageId: ids[4] })), [room, ids[4], 0]);
  assert.deepEqual(at(await mark({ messageId: ids[3] })), [room, ids[4], 0]);
  assert.deepEqual(at(await mark({})), [room, ids[4], 0]);
  const path = `/rooms/${room}/read`;
  refused(await bob.call('POST', path, { messageId: 'no-id' }), 400);
  refused(await bob.call('POST', path, { messageId: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }), 404);
  refused(await bob.call('POST', path, { messageId: 7 }), 400);
  refused(await stage.stranger(gateway).call('POST', path, {}), 403);
  const empty = await bob.room();
  assert.deepEqual(at((await bob.call('POST', `/rooms/${empty}/read`, {})).body), [empty, null, 0]);
});

test('passwords are not tried without end', async () => {
  const limited = await stage.gateway({ RATE_LIMITS: 'on' });
  const email = `${unique('ann')}@example.com`;
  const answers = await Promise.all(Array.from({ length: 30 }, () =>
    request('POST', `${limited.url}/auth/login`, { body: { email, password: 'a wrong password' } })));
  const limits = answers.filter(({ status }) => status === 429);
  assert.ok(limits.length > 0 && limits.every(({ headers }) => Number(headers.get('retry-after')) >= 1));
  assert.ok(answers.some(({ status }) => status === 401));
});

test('nobody tries passwords without end by naming another address each time', async () => {
  const limited = await stage.gateway({ RATE_LIMITS: 'on', CLIENT_ADDRESS_HEADER: 'X-Forwarded-For' });
  const login = (client) => request('POST', `${limited.url}/auth/login`, {
    body: { email: `${unique('nobody')}@example.com`, password: 'a wrong password' }, headers: { 'x-forwarded-for': client } });
  const answers = await Promise.all(Array.from({ length: 90 }, () => login('198.51.100.9')));
  const count = (wanted) => answers.filter(({ status }) => status === wanted).length;
  assert.ok(count(401) <= 60 && count(429) >= 30 && count(401) + count(429) === 90, `${count(401)} ${count(429)}`);
  assert.equal((await login('198.51.100.10')).status, 401);
});

test('nobody keeps somebody else from logging in, and a member who enters twice at once is one', async () => {
  const limited = await stage.gateway({ RATE_LIMITS: 'on', CLIENT_ADDRESS_HEADER: 'X-Forwarded-For' });
  const ann = await stage.person(gateway);
  const login = (password, client) =>
    request('POST', `${limited.url}/auth/login`, { body: { email: ann.email, password }, headers: { 'x-forwarded-for': `192.0.2.1, ${client}` } });
  const attacks = await Promise.all(Array.from({ length: 30 }, () => login('a wrong password', '198.51.100.1')));
  assert.ok(attacks.some(({ status }) => status === 429));
  assert.equal((await login(PASSWORD, '198.51.100.2')).status, 201);

  for (let round = 0; round < 5; round++) {
    const [room, bob] = [await ann.room(), stage.stranger(gateway)];
    const joins = await Promise.all(Array.from({ length: 5 }, () => bob.call('POST', `/rooms/${room}/join`)));
    assert.deepEqual(joins.map(({ status }) => status), Array(5).fill(201));
  }
});

/** A room with so many messages, and their ids. */
async function filled(person, count, ...members) {
  const room = await person.room(...members);
  const socket = await person.joined(room);
  const names = Array.from({ length: count }, (_, index) => `c${index}`);
  await Promise.all(names.map((name) => ask(socket, 'sendMessage', text(room, name))));
  await until(`${count} messages`, () => socket.messages.length === count);
  assert.deepEqual(socket.messages.map(({ clientMsgId }) => clientMsgId), names);
  const ids = socket.messages.map(({ id }) => id);
  assert.deepEqual(ids, ids.toSorted());
  return { room, ids };
}
