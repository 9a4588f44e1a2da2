// The events of `/chat` and what goes with them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { event, pause, request, until } from '../server.mjs';
import { Stage } from './stage.mjs';

let stage, one, two, ann, bob, eve;

before(async () => {
  stage = await Stage.open();
  [one, two] = await Promise.all([stage.start(), stage.start()]);
  [ann, bob, eve] = ['ann', 'bob', 'eve'].map((user) => stage.person(user));
  await stage.room(one, 1, [ann, bob]);
});
after(() => stage.close());

test('a message reaches the room on every instance, and a moment later the database', async () => {
  const [hers, his] = [await stage.enter(one, ann), await stage.enter(two, bob)];
  for (const socket of [hers, his]) {
    const joined = await socket.ask('joinRoom', { roomId: 1 });
    assert.deepEqual([joined.success, typeof joined.message], [true, 'string']);
  }
  const [at, heard, own] = [Date.now(), event(his, 'message'), event(hers, 'message')];
  const sent = await hers.ask('sendMessage', { roomId: 1, message: 'hello' });
  assert.equal(sent.success, true);
  assert.deepEqual(Object.keys(sent.data).sort(), ['createdAt', 'id', 'message', 'roomId', 'senderId']);
  assert.deepEqual([sent.data.roomId, sent.data.senderId, sent.data.message], [1, 'ann', 'hello']);
  assert.ok(Math.abs(Date.parse(sent.data.createdAt) - at) < 60_000);
  assert.deepEqual(await heard, sent.data);
  assert.deepEqual(await own, sent.data);
  await until('the message in the database', async () => (await stage.stored(1)).length === 1, 5_000);
  await until('an empty queue', async () => (await request('GET', `${one.url}/queue`)).body.messages === 0);

  const left = await his.ask('leaveRoom', { roomId: 1 });
  assert.deepEqual([left.success, typeof left.message], [true, 'string']);
  await hers.ask('sendMessage', { roomId: 1, message: 'are you there?' });
  await his.ask('joinRoom', { roomId: 1 });
  const again = event(his, 'message');
  await hers.ask('sendMessage', { roomId: 1, message: 'welcome back' });
  assert.equal((await again).message, 'welcome back');
  assert.deepEqual(his.messages.map(({ message }) => message), ['hello', 'welcome back']);
});

test('one name is one message, on whichever instance it comes again', async () => {
  const [hers, again] = [await stage.enter(one, ann), await stage.enter(two, ann)];
  const message = { roomId: 1, message: 'once', clientMsgId: 'a-1' };
  const answers = await Promise.all([hers.ask('sendMessage', message), again.ask('sendMessage', message), hers.ask('sendMessage', message)]);
  assert.ok(answers.every(({ success, data }) => success && data.id === answers[0].data.id));
  const other = await again.ask('sendMessage', { ...message, message: 'twice' });
  assert.deepEqual([other.success, other.code], [false, 'client_id_conflict']);
  // Somebody else's names are their own.
  const his = await stage.enter(two, bob);
  assert.notEqual((await his.ask('sendMessage', message)).data.id, answers[0].data.id);
});

test('what cannot be is refused with a word', async () => {
  const [hers, stranger] = [await stage.enter(one, ann), await stage.enter(two, eve)];
  const cases = [
    [stranger, 'joinRoom', { roomId: 1 }, /member/],
    [stranger, 'sendMessage', { roomId: 1, message: 'hi' }, /member/],
    [hers, 'joinRoom', { roomId: 404 }, /no|not|member/],
    [hers, 'sendMessage', { roomId: 404, message: 'hi' }, /no|not|member/],
    [hers, 'joinRoom', {}, /`roomId` is missing/],
    [hers, 'joinRoom', 'one', /`roomId` is missing/],
    [hers, 'joinRoom', { roomId: '1' }, /`roomId`/],
    [hers, 'joinRoom', { roomId: -1 }, /`roomId`/],
    [hers, 'joinRoom', { roomId: 1.5 }, /`roomId`/],
    [hers, 'joinRoom', { roomId: 2 ** 53 }, /`roomId`/],
    [hers, 'sendMessage', { roomId: 1 }, /`message` must be a text/],
    [hers, 'sendMessage', { roomId: 1, message: 7 }, /`message` must be a text/],
    [hers, 'sendMessage', { roomId: 1, message: ' \n ' }, /blank/],
    [hers, 'sendMessage', { roomId: 1, message: 'x'.repeat(1_001) }, /1000|1,000|long/],
    [hers, 'sendMessage', { roomId: 1, message: 'hi', clientMsgId: 'two words' }, /`clientMsgId`/],
    [hers, 'sendMessage', { roomId: 1, message: 'hi', clientMsgId: 'imported:1' }, /`clientMsgId` may not begin with/],
    [hers, 'shout', { roomId: 1 }, /no event is called "shout"/],
  ];
  for (const [socket, name, data, words] of cases) {
    const answer = await socket.ask(name, data);
    assert.equal(answer.success, false, `${name} ${JSON.stringify(data)}`);
    assert.match(answer.message, words);
  }
  // A sender that somebody claims to be is not looked at.
  const sent = await hers.ask('sendMessage', { roomId: 1, message: 'as myself', senderId: 'bob' });
  assert.equal(sent.data.senderId, 'ann');
  assert.ok(hers.connected && stranger.connected);
});

test('whoever is removed hears no more and says no more, on every instance', async () => {
  await stage.room(one, 2, [ann, bob]);
  const [hers, his] = [await stage.enter(one, ann), await stage.enter(two, bob)];
  await Promise.all([hers, his].map((socket) => socket.ask('joinRoom', { roomId: 2 })));
  assert.equal((await his.ask('sendMessage', { roomId: 2, message: 'I am in' })).success, true);
  assert.equal((await stage.rest(one, ann, 'DELETE', '/rooms/2/members/bob')).status, 204);
  assert.equal((await his.ask('sendMessage', { roomId: 2, message: 'still?' })).success, false);
  assert.equal((await his.ask('joinRoom', { roomId: 2 })).success, false);
  await hers.ask('sendMessage', { roomId: 2, message: 'among us' });
  await until('her own message', () => hers.messages.some(({ message }) => message === 'among us'));
  assert.ok(his.messages.every(({ message }) => message !== 'among us'));
});

test('many senders on two instances: one order for all, nothing lost, nothing twice', async () => {
  await stage.room(one, 3, [ann, bob]);
  const sockets = await Promise.all([one, two, one, two].map((server, at) => stage.enter(server, at < 2 ? ann : bob)));
  await Promise.all(sockets.map((socket) => socket.ask('joinRoom', { roomId: 3 })));
  const total = 400;
  const sends = Array.from({ length: total }, (_, at) =>
    sockets[at % 4].ask('sendMessage', { roomId: 3, message: `m${at}`, clientMsgId: `c${at}` }));
  const ids = (await Promise.all(sends)).map(({ data }) => data.id);
  assert.equal(new Set(ids).size, total);
  await until('all messages', () => sockets.every(({ messages }) => messages.length === total));
  const order = sockets[0].messages.map(({ id }) => id);
  assert.deepEqual([...order].sort(), order, 'ids grow with the order');
  for (const { messages } of sockets) assert.deepEqual(messages.map(({ id }) => id), order);
  await until('all in the database', async () => (await stage.stored(3)).length === total);
});

test('rooms, members and history over REST, with token and presentation', async () => {
  await stage.room(two, 4, [ann, bob]);
  const hers = await stage.enter(one, ann);
  for (let at = 0; at < 25; at += 1) await hers.ask('sendMessage', { roomId: 4, message: `m${at}` });
  const page = async (query) => (await stage.rest(two, bob, 'GET', `/rooms/4/messages${query}`)).body;
  const newest = await page('?limit=10');
  assert.deepEqual(newest.messages.map(({ message }) => message), Array.from({ length: 10 }, (_, at) => `m${at + 15}`));
  assert.equal(newest.after, null);
  const older = await page(`?limit=10&before=${newest.before}`);
  assert.equal(older.messages.at(-1).message, 'm14');
  const byId = await page(`?limit=3&after=${older.messages[0].id}`);
  assert.deepEqual(byId.messages.map(({ message }) => message), ['m6', 'm7', 'm8']);
  const next = await page(`?limit=2&after=${byId.after}`);
  assert.deepEqual(next.messages.map(({ message }) => message), ['m9', 'm10']);
  // Before the first message is that he was added; before that there is nothing, which says nothing of what follows.
  const [first] = (await page('?limit=100')).messages;
  const added = await page(`?before=${first.id}`);
  assert.deepEqual([added.messages.length, added.before], [0, null]);
  assert.equal((await page(`?limit=1&after=${added.after}`)).messages[0].id, first.id);
  const none = await page(`?before=${added.after}`);
  assert.deepEqual([none.messages.length, none.before, none.after], [0, null, null]);
  const rooms = await stage.rest(one, bob, 'GET', '/rooms');
  assert.ok(rooms.body.some(({ roomId, name, unread }) => roomId === 4 && name === 'room 4' && unread === 25));
  const members = await stage.rest(one, bob, 'GET', '/rooms/4/members');
  assert.deepEqual(members.body.map(({ userId }) => userId).sort(), ['ann', 'bob']);

  for (const [who, method, path, body, status] of [
    [eve, 'GET', '/rooms/4/messages', undefined, 403],
    [bob, 'GET', '/rooms/4/messages?limit=0', undefined, 400],
    [bob, 'GET', '/rooms/4/messages?limit=101', undefined, 400],
    [bob, 'GET', '/rooms/4/messages?before=x', undefined, 400],
    [bob, 'GET', '/rooms/x/messages', undefined, 400],
    [bob, 'POST', '/rooms', { roomId: 4 }, 409],
    [bob, 'POST', '/rooms', { roomId: 'four' }, 400],
    [bob, 'POST', '/rooms/4/members', { userId: 'eve' }, 403],
    [bob, 'GET', '/nothing', undefined, 404],
  ]) {
    const answer = await stage.rest(one, who, method, path, body);
    assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(answer.body)}`);
    assert.equal(answer.body.statusCode, status);
  }
  const alone = await request('GET', `${one.url}/rooms`, { token: ann.token });
  assert.deepEqual([alone.status, alone.body.message.includes('the presentation is missing')], [401, true]);
});

test('lists go on where a header says, and everybody is reached', async () => {
  const odd = stage.person('a+b@chat.example');
  await stage.room(one, 61, [ann, odd, bob, eve]);
  await stage.room(one, 62, [ann, odd]);
  await stage.room(one, 63, [ann, odd]);
  const all = async (person, path) => {
    const found = [];
    for (let next = path; next !== undefined;) {
      const answer = await stage.rest(one, person, 'GET', next);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      assert.ok(answer.body.length <= 1);
      found.push(...answer.body);
      const link = answer.headers.get('link');
      next = link === null ? undefined : /^<([^>]*)>; rel="next"$/.exec(link)[1];
    }
    return found;
  };
  const members = await all(ann, '/rooms/61/members?limit=1');
  assert.deepEqual(members.map(({ userId }) => userId), ['a+b@chat.example', 'ann', 'bob', 'eve']);
  const rooms = await all(odd, '/rooms?limit=1');
  assert.deepEqual(rooms.map(({ roomId }) => roomId).sort(), [61, 62, 63]);
  for (const path of ['/rooms?after=x', '/rooms?limit=0', '/rooms/61/members?limit=0', '/rooms/61/members?after=a%20b']) {
    assert.equal((await stage.rest(one, odd, 'GET', path)).status, 400, path);
  }
});

test('a client that comes back gets what it missed, exactly once', async () => {
  await stage.room(one, 5, [ann, bob]);
  const hers = await stage.enter(one, ann);
  const his = await stage.enter(two, bob);
  const { cursor } = await his.ask('joinRoom', { roomId: 5 });
  his.disconnect();
  await pause(50);
  for (let at = 0; at < 20; at += 1) await hers.ask('sendMessage', { roomId: 5, message: `m${at}` });
  const back = await stage.enter(one, bob);
  const joined = await back.ask('joinRoom', { roomId: 5, after: cursor });
  assert.equal(joined.recovered, true);
  await hers.ask('sendMessage', { roomId: 5, message: 'm20' });
  await until('what was missed', () => back.messages.length >= 21);
  assert.deepEqual(back.messages.map(({ message }) => message), Array.from({ length: 21 }, (_, at) => `m${at}`));
});

test('health names what it stands on', async () => {
  const { status, body } = await request('GET', `${one.url}/health`);
  assert.equal(status, 200);
  for (const name of ['postgres', 'redis']) assert.equal(body.dependencies[name].status, 'ok', JSON.stringify(body));
});
