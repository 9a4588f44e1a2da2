// The import: ids, order, times, members and read marks as they were, again and again, and the service goes on from there.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { run } from '../server.mjs';
import { PROGRAM, Stage } from './stage.mjs';

const TABLES = `
CREATE SCHEMA reference;
SET search_path TO reference;
CREATE TABLE chat_room (id bigint PRIMARY KEY, study_id bigint UNIQUE, name varchar(255), is_active boolean, created_at timestamp);
CREATE TABLE chat_room_member (id bigserial PRIMARY KEY, chat_room_id bigint, user_id bigint, joined_at timestamp, left_at timestamp, last_read_message_id bigint);
CREATE TABLE chat_message (id bigserial PRIMARY KEY, chat_room_id bigint, sender_id bigint, sender_nickname varchar(50), content text, message_type varchar(10), created_at timestamp);
INSERT INTO chat_room VALUES (41, 7, 'Rust', true, '2024-01-01'), (55, 8, 'Go', false, '2024-01-02'), (60, 9, 'Empty', true, '2024-01-03');
INSERT INTO chat_room_member (chat_room_id, user_id, joined_at, left_at, last_read_message_id) VALUES
  (41, 1, '2024-02-01T10:00:00', NULL, 700), (41, 2, '2024-02-02T10:00:00.5', NULL, NULL), (41, 3, '2024-02-03', '2024-03-01T08:00:00', 20),
  (55, 1, '2024-02-01', NULL, 301), (60, 1, '2024-02-01', NULL, NULL);
-- Ids run over all rooms; every 50th clock went back, some times have microseconds.
INSERT INTO chat_message (id, chat_room_id, sender_id, sender_nickname, content, message_type, created_at)
  SELECT i, CASE WHEN i % 3 = 0 THEN 55 ELSE 41 END, 1 + i % 2, 'n' || i, 'old ' || i,
    CASE WHEN i % 40 = 1 THEN 'JOIN' ELSE 'CHAT' END,
    timestamp '2024-02-05' + i * interval '1.5 minutes' - CASE WHEN i % 50 = 0 THEN interval '1 hour' ELSE '0' END
      + CASE WHEN i % 7 = 0 THEN interval '0.000123 seconds' ELSE '0' END
  FROM generate_series(1, 900) i;`;

let stage;
before(async () => {
  stage = await Stage.start({ instances: 0 });
  await stage.database.query(TABLES);
});
after(() => stage.end());

const bring = () => run(PROGRAM, { args: ['import'], env: { ...stage.env, REFERENCE_SCHEMA: 'reference' } });

/** What the reference holds of a room, as the contract tells it. */
async function expected(room) {
  const rows = await stage.database.query(
    `SELECT id, sender_id, sender_nickname, content, message_type, to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US') AS at
     FROM reference.chat_message WHERE chat_room_id = $1 ORDER BY id`, [room]);
  return rows.map((row) => ({
    chatRoomId: room, messageId: Number(row.id), senderId: Number(row.sender_id), senderNickname: row.sender_nickname,
    content: row.content, messageType: row.message_type, createdAt: row.at.replace(/\.000000$/, '').replace(/000$/, ''),
  }));
}

test('what there was is there, with its ids, order and times', async () => {
  assert.deepEqual((await bring()), { code: 0, stdout: 'imported: 3 rooms, 5 members, 900 messages\n', stderr: '' });
  assert.equal((await bring()).stdout, 'imported: 3 rooms, 5 members, 900 messages\n', 'again changes nothing');
  // The old system went on meanwhile.
  await stage.database.query(`INSERT INTO reference.chat_message (id, chat_room_id, sender_id, sender_nickname, content, message_type, created_at)
    VALUES (950, 41, 2, 'late', 'the last one', 'CHAT', '2024-05-01T12:00:00')`);
  await stage.database.query('UPDATE reference.chat_room_member SET last_read_message_id = 899 WHERE chat_room_id = 41 AND user_id = 1');
  assert.equal((await bring()).stdout, 'imported: 3 rooms, 5 members, 901 messages\n');

  await stage.instance();
  for (const [room, user] of [[41, 1], [55, 1], [60, 1]]) {
    assert.deepEqual(await stage.history(room, user), await expected(room), `room ${room}`);
  }
  const room = (await stage.ask('GET', '/rooms/study/8', { user: 1 })).body;
  assert.deepEqual([room.chatRoomId, room.name, room.active], [55, 'Go', false]);
});

test('members, marks and unread counts are as they were', async () => {
  const unread = async (room, user) => (await stage.ask('GET', `/rooms/${room}/unread`, { user })).body.unreadCount;
  const count = async (room, user, read) => {
    const [{ n }] = await stage.database.query(
      `SELECT count(*) AS n FROM reference.chat_message WHERE chat_room_id = $1 AND sender_id <> $2 AND id > $3 AND message_type = 'CHAT'`, [room, user, read]);
    return Number(n);
  };
  assert.equal(await unread(41, 1), await count(41, 1, 899));
  assert.equal(await unread(41, 2), await count(41, 2, 0));
  assert.equal(await unread(55, 1), await count(55, 1, 301));
  assert.equal(await unread(60, 1), 0);
  assert.equal((await stage.ask('GET', '/rooms/41/messages', { user: 3 })).status, 403, 'who had left is gone');
  const left = (await stage.ask('POST', '/rooms/41/leave', { user: 3 })).body;
  assert.deepEqual([left.joinedAt, left.leftAt], ['2024-02-03T00:00:00', '2024-03-01T08:00:00']);
  assert.equal((await stage.ask('POST', '/rooms/41/join', { user: 2 })).body.joinedAt, '2024-02-02T10:00:00.500');
});

test('the service goes on behind the old ids, and finds messages by them', async () => {
  const page = async (query) => (await stage.ask('GET', `/rooms/41/messages?${query}`, { user: 1 })).body.messages.map(({ messageId }) => messageId);
  const old = (await expected(41)).map(({ messageId }) => messageId);
  for (const id of [1, 2, 3, 500, 501, 899, 900, 950]) {
    assert.deepEqual(await page(`before=${id}&size=5`), old.filter((other) => other < id).slice(-5), `before ${id}`);
    assert.deepEqual(await page(`after=${id}&size=5`), old.filter((other) => other > id).slice(0, 5), `after ${id}`);
  }
  const one = await stage.person(1);
  await one.follow(41);
  await one.say(41, 'new');
  await one.say(41, 'newer');
  assert.deepEqual((await one.hears(2)).map(({ messageId }) => messageId), [951, 952]);
  assert.deepEqual(await page('after=899'), [950, 951, 952]);
  const read = (messageId) => stage.ask('POST', '/rooms/41/read', { user: 2, body: { messageId } });
  assert.equal((await read(500)).body.lastReadMessageId, 500);
  assert.equal((await read(501)).status, 404, 'a message of another room');
  assert.equal((await read(951)).body.unreadCount, 1);
  const made = (await stage.ask('POST', '/rooms', { user: 1, body: { studyId: 10, name: 'New' } })).body;
  assert.ok(made.chatRoomId > 60, 'new rooms have new numbers');
  await stage.database.query(`INSERT INTO reference.chat_message VALUES (960, 41, 2, 'late', 'too late', 'CHAT', '2024-06-01')`);
  const { code, stderr } = await bring();
  assert.equal(code, 1);
  assert.match(stderr, /room 41: other messages are where these should be/);
  assert.deepEqual(await page('after=899'), [950, 951, 952], 'and nothing is changed');
});

test('the way back of the manual brings what was said since into the old tables', async () => {
  const manual = await readFile(new URL('../../../docs/migrating/study.md', import.meta.url), 'utf8');
  const [, statements] = /## The way back[^]*?```sql\n([^]*?)```/.exec(manual);
  await stage.ask('POST', '/rooms/41/join', { user: 4 });
  await stage.ask('POST', '/rooms/41/leave', { user: 2 });
  const unread = (await stage.ask('GET', '/rooms/41/unread', { user: 1 })).body.unreadCount;
  await Promise.all(stage.servers.splice(0).map((server) => server.stop()));
  await stage.database.query(`SET search_path TO reference; DELETE FROM chat_message WHERE id = 960;
    SELECT setval('chat_message_id_seq', 2000); BEGIN; ${statements} COMMIT; SET search_path TO public`);
  const { query } = stage.database;
  const told = (await expected(41)).slice(-3).map(({ messageId, content, messageType, senderNickname }) => [messageId, content, messageType, senderNickname]);
  assert.deepEqual(told, [[950, 'the last one', 'CHAT', 'late'], [2001, 'new', 'CHAT', 'n1'], [2002, 'newer', 'CHAT', 'n1']]);
  const members = await query(`SELECT user_id::int, left_at IS NULL AS there, last_read_message_id::int AS read
    FROM reference.chat_room_member WHERE chat_room_id = 41 ORDER BY user_id`);
  assert.deepEqual(members, [
    { user_id: 1, there: true, read: 899 }, { user_id: 2, there: false, read: 2001 }, { user_id: 3, there: false, read: 20 },
    { user_id: 4, there: true, read: 2002 },
  ]);
  assert.equal(unread, 1, 'all but what they said themselves');
  const [room] = await query(`SELECT study_id::int, name, is_active FROM reference.chat_room WHERE id > 60`);
  assert.deepEqual(room, { study_id: 10, name: 'New', is_active: true });
});

test('what the import cannot work with is named at once', async () => {
  const { code, stderr } = await run(PROGRAM, { args: ['import'], env: { REFERENCE_SCHEMA: 'a-b' } });
  assert.equal(code, 2);
  assert.match(stderr, /DATABASE_URL: is needed[^]*REFERENCE_SCHEMA: must be/);
});
