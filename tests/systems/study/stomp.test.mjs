// STOMP, line by line: what is told, who may follow and send, and how each refusal looks.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';

import { jwt, unique, until, within } from '../server.mjs';
import { SERVICE_TOKEN, Stage } from './stage.mjs';

let stage;
before(async () => (stage = await Stage.start()));
after(() => stage.end());

test('a message is broadcast in the form of the contract', async () => {
  const room = await stage.room(123, 124);
  const [hong, other] = [await stage.person(123), await stage.person(124)];
  await other.follow(room);
  const body = { chatRoomId: room, senderId: 123, senderNickname: 'hong', content: 'hello!', messageType: 'CHAT' };
  assert.equal(await hong.send('/app/chat.sendMessage', body), true);
  const [{ createdAt, ...told }] = await other.hears(1);
  assert.deepEqual(told, { ...body, messageId: 1 });
  assert.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$/, 'a local date-time without a zone');
  assert.ok(Math.abs(Date.parse(`${createdAt}Z`) - Date.now()) < 60_000, `${createdAt} is in UTC`);
  assert.deepEqual(await stage.history(room, 123), [{ ...told, createdAt }], 'the same in the history');
});

test('joining and leaving are system messages that count for nobody', async () => {
  const room = await stage.room(1, 2);
  const [one, two] = [await stage.person(1), await stage.person(2)];
  await two.follow(room);
  const said = (messageType) => ({ chatRoomId: room, senderId: 1, senderNickname: 'kim', content: '', messageType });
  assert.equal(await one.send('/app/chat.join', said('JOIN')), true);
  assert.equal(await one.say(room, 'hi'), true);
  assert.equal(await one.send('/app/chat.leave', said(undefined)), true);
  const heard = await two.hears(3);
  assert.deepEqual(heard.map((message) => [message.messageType, message.senderNickname]), [['JOIN', 'kim'], ['CHAT', 'n1'], ['LEAVE', 'kim']]);
  const { body } = await stage.ask('GET', `/rooms/${room}/unread`, { user: 2 });
  assert.equal(body.unreadCount, 1);
  assert.equal((await one.send('/app/chat.join', said('CHAT'))).code, 'invalid_request');
});

test('a forged sender is refused on the error queue, and nothing is stored', async () => {
  const room = await stage.room(1, 2);
  const one = await stage.person(1);
  for (const destination of ['/app/chat.sendMessage', '/app/chat.join', '/app/chat.leave']) {
    const body = { chatRoomId: room, senderId: 2, senderNickname: 'n', content: 'x', clientMsgId: 'c-1' };
    const refused = await one.send(destination, body);
    assert.deepEqual([refused.code, refused.chatRoomId, refused.clientMsgId], ['forbidden', room, 'c-1'], destination);
  }
  assert.deepEqual(await stage.history(room, 1), []);
});

test('without a good token nobody is connected', async () => {
  for (const [token, code] of [
    [null, 'unauthenticated'],
    ['nonsense', 'unauthenticated'],
    [jwt({ sub: '1' }, { secret: 'another secret that is long enough!' }), 'unauthenticated'],
    [jwt({ sub: '1' }, { seconds: -120 }), 'token_expired'],
    [jwt({ sub: 'hong' }), 'unauthenticated'],
    [jwt({ sub: '01' }), 'unauthenticated'],
  ]) {
    await assert.rejects(stage.person(1, { token }), { code }, String(token));
  }
});

test('only members follow a room, and everybody their own queue alone', async () => {
  const room = await stage.room(1);
  for (const [destination, code] of [
    [`/topic/chatroom/${room}`, 'not_a_member'],
    ['/topic/chatroom/999999', 'not_a_member'],
    [`/topic/chatroom/0${room}`, 'not_found'],
    ['/topic/other', 'not_found'],
    ['/user/1/queue/errors', 'forbidden'],
  ]) {
    const stranger = await stage.person(9);
    await assert.rejects(stranger.subscribe(destination, () => {}), { code }, destination);
    await within(5_000, 'the end', stranger.closed);
  }
});

test('whatever is refused is told with its reason, and the connection goes on', async () => {
  const room = await stage.room(1, 2);
  const one = await stage.person(1);
  const stranger = await stage.person(9);
  assert.equal((await stranger.say(room, 'x')).code, 'not_a_member');
  for (const [content, more, code] of [
    ['', {}, 'body_blank'],
    [' \n\t', {}, 'body_blank'],
    ['x'.repeat(1_001), {}, 'body_too_long'],
    ['x', { chatRoomId: 999_999 }, 'room_not_found'],
    ['x', { chatRoomId: String(room) }, 'invalid_request'],
    ['x', { senderNickname: undefined }, 'invalid_request'],
    ['x', { messageType: 'JOIN' }, 'invalid_request'],
    ['x', { clientMsgId: 'has blanks' }, 'invalid_request'],
    ['x', { clientMsgId: '!reserved' }, 'invalid_request'],
    ['x', { clientMsgId: 'imported:1' }, 'invalid_request'],
  ]) {
    const refused = await one.say(room, content, more);
    assert.equal(refused.code, code, JSON.stringify(more));
    assert.ok(refused.message.length > 0);
  }
  assert.equal((await one.send('/app/chat.sendMessage', '{')).code, 'malformed');
  assert.equal((await one.send('/app/chat.other', '{}')).code, 'not_found');
  assert.equal(await one.say(room, '가'.repeat(1_000)), true, 'characters count, not bytes');
  assert.equal(await one.say(room, '😀'.repeat(1_000)), true);
  assert.equal((await stage.history(room, 2)).length, 2);
  await one.say(room, 'x'.repeat(100_000));
  const { code } = await within(10_000, 'the ERROR frame', one.failed);
  assert.equal(code, 'limit_exceeded', 'a frame beyond all bounds ends the connection');
});

test('a message that is sent again is the same one', async () => {
  const room = await stage.room(1, 2);
  const [one, two] = [await stage.person(1), await stage.person(2)];
  await two.follow(room);
  const clientMsgId = unique('c');
  for (let i = 0; i < 3; i += 1) assert.equal(await one.say(room, 'once', { clientMsgId }), true);
  const again = await stage.person(1);
  assert.equal(await again.say(room, 'once', { clientMsgId }), true, 'over another connection too');
  assert.equal((await one.say(room, 'other', { clientMsgId })).code, 'client_id_conflict');
  assert.equal(await two.say(room, 'mine', { clientMsgId }), true, 'names are each sender\'s own');
  assert.deepEqual((await two.hears(2)).map(({ content }) => content), ['once', 'mine']);
  assert.equal((await stage.history(room, 1)).length, 2);
});

test('an inactive room is read and takes nothing', async () => {
  const room = await stage.room(1, 2);
  const one = await stage.person(1);
  await one.say(room, 'before');
  const change = (active, headers = { 'x-internal-token': SERVICE_TOKEN }) =>
    stage.ask('PATCH', `/internal/rooms/${room}`, { body: { active }, headers });
  assert.equal((await change(false, {})).status, 401);
  assert.deepEqual((await change(false)).body.active, false);
  for (const destination of ['/app/chat.sendMessage', '/app/chat.join']) {
    const refused = await one.send(destination, { chatRoomId: room, senderId: 1, senderNickname: 'n', content: 'x' });
    assert.equal(refused.code, 'room_inactive', destination);
  }
  const two = await stage.person(2);
  await two.follow(room);
  assert.deepEqual((await stage.history(room, 2)).map(({ content }) => content), ['before']);
  assert.equal((await stage.ask('POST', `/rooms/${room}/read`, { user: 2 })).body.unreadCount, 0);
  await change(true);
  assert.equal(await one.say(room, 'after'), true);
  await two.hears(1);
});

test('who sends too fast is told when to try again', async () => {
  const slow = await Stage.start({ env: { SENDS_PER_SECOND: '1' } });
  try {
    const room = await slow.room(1);
    const one = await slow.person(1);
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push(await one.say(room, `m${i}`));
    const refused = answers.filter((answer) => answer !== true);
    assert.ok(refused.length > 0);
    for (const answer of refused) assert.deepEqual([answer.code, answer.retryable], ['rate_limited', true]);
    assert.equal((await slow.history(room, 1)).length, answers.length - refused.length);
  } finally {
    await slow.end();
  }
});

test('who leaves hears no more of the room, is told so, and hears the others on', async () => {
  const [left, stayed] = [await stage.room(1, 2), await stage.room(1, 2)];
  const [one, two] = [await stage.person(1), await stage.person(2)];
  await two.follow(left);
  await two.follow(stayed);
  assert.equal((await stage.ask('POST', `/rooms/${left}/leave`, { user: 2 })).status, 200);
  await until('the word of it', () => two.refusals.some(({ code, chatRoomId }) => code === 'not_a_member' && chatRoomId === left));
  await one.say(left, 'not for you');
  await one.say(stayed, 'for you');
  assert.deepEqual((await two.hears(1)).map(({ content }) => content), ['for you']);
  assert.equal((await two.say(left, 'x')).code, 'not_a_member');
});

test('after a break a client goes on behind the last message it has', async () => {
  const room = await stage.room(1, 2);
  const [one, two] = [await stage.person(1), await stage.person(2)];
  await two.follow(room);
  await one.say(room, 'first');
  await two.hears(1);
  await two.client.deactivate({ force: true });
  for (const content of ['second', 'third']) await one.say(room, content);
  const back = await stage.person(2);
  await back.follow(room, two.cursor);
  await one.say(room, 'fourth');
  assert.deepEqual((await back.hears(3)).map(({ content }) => content), ['second', 'third', 'fourth']);
});

test('what is broadcast also comes on the channel of Redis', async () => {
  const room = await stage.room(1);
  const url = new URL(stage.env.REDIS_URL);
  const socket = connect(Number(url.port), url.hostname);
  let said = '';
  socket.on('data', (data) => (said += data));
  socket.write(`AUTH ${decodeURIComponent(url.password)}\r\nSUBSCRIBE ${stage.env.REDIS_CHANNEL}\r\n`);
  await until('the subscription', () => said.includes(':1\r\n'));
  const one = await stage.person(1);
  await one.follow(room);
  await one.say(room, 'for all');
  const [told] = await one.hears(1);
  await until('the message', () => said.includes(JSON.stringify(told)));
  socket.destroy();
});

test('who was removed at another instance announces nothing any more', async () => {
  const other = await stage.instance();
  const at = stage.servers.indexOf(other);
  const room = await stage.room(1, 2);
  const two = await stage.person(2);
  await two.follow(room);
  for (const kind of ['join', 'leave']) {
    assert.equal((await stage.ask('POST', `/rooms/${room}/join`, { user: 2, at })).status, 200);
    assert.equal((await stage.ask('POST', `/rooms/${room}/leave`, { user: 2, at })).status, 200);
    // At once: this instance need not have heard of it.
    const refused = await two.send(`/app/chat.${kind}`, { chatRoomId: room, senderId: 2, senderNickname: 'n', content: 'x' });
    assert.equal(refused.code, 'not_a_member');
  }
  assert.deepEqual(await stage.history(room, 1), []);
});
