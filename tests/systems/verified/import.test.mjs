// The other system's rows, as the new server shows them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { run } from '../server.mjs';
import { PROGRAM, Stage } from './stage.mjs';

let stage;

/** What an old system may look like, and the three views over it. */
const OLD = `
CREATE TABLE chat_room (id bigserial PRIMARY KEY, title text, owner text NOT NULL);
CREATE TABLE chat_room_user (room_id bigint, user_id text, joined timestamptz, last_read bigint, PRIMARY KEY (room_id, user_id));
CREATE TABLE chat_message (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), serial bigserial, room_id bigint, sender text, body text, created timestamptz);
CREATE SCHEMA chat_import;
CREATE VIEW chat_import.rooms AS SELECT id, title AS name FROM chat_room;
CREATE VIEW chat_import.members AS
  SELECT u.room_id, u.user_id, u.user_id = r.owner AS owner, u.joined AS joined_at, m.serial AS read_place
  FROM chat_room_user u JOIN chat_room r ON r.id = u.room_id LEFT JOIN chat_message m ON m.serial = u.last_read;
CREATE VIEW chat_import.messages AS
  SELECT id, room_id, serial AS place, sender AS sender_id, body AS message, created AS created_at FROM chat_message;
INSERT INTO chat_room (title, owner) VALUES ('first', 'ann'), (NULL, 'bob'), ('empty', 'ann');
INSERT INTO chat_room_user SELECT r, u, '2024-01-01T00:00:00Z', NULL FROM generate_series(1, 3) r, unnest(array['ann', 'bob']) u;
INSERT INTO chat_message (room_id, sender, body, created)
  SELECT 1 + n % 2, (array['ann', 'bob', 'eve'])[1 + n % 3], 'message ' || n, '2024-02-01T00:00:00Z'::timestamptz + n * interval '7 seconds'
  FROM generate_series(0, 599) n;
UPDATE chat_room_user SET last_read = 501 WHERE room_id = 1 AND user_id = 'bob';
`;

before(async () => {
  stage = await Stage.open();
  await stage.database.query(OLD);
});
after(() => stage.close());

const imports = () => run(PROGRAM, { args: ['import'], env: { DATABASE_URL: stage.database.url } });

/** Who is a member of a room here. */
const members = async (number) => {
  const rows = await stage.database.query(
    `SELECT m."user" FROM chat.members m JOIN chat.rooms r USING (room) WHERE r.id = $1 AND m.role IS NOT NULL AND m.left_at IS NULL ORDER BY 1`, [String(number)]);
  return rows.map(({ user }) => user);
};

test('rooms, members, read marks and messages are taken over, again and again', async () => {
  for (let time = 0; time < 2; time += 1) {
    const { code, stdout, stderr } = await imports();
    assert.deepEqual([code, stdout], [0, 'imported: 3 rooms, 600 messages\n'], stderr);
  }
  await stage.database.query(`INSERT INTO chat_message (room_id, sender, body, created) VALUES (1, 'ann', 'late', '2024-03-01T00:00:00Z')`);
  // A member who came, and one who left before the servers changed places.
  await stage.database.query(`INSERT INTO chat_room_user VALUES (1, 'joe', '2024-01-01T00:00:00Z', NULL), (3, 'joe', '2024-01-01T00:00:00Z', NULL)`);
  await imports();
  assert.deepEqual([await members(1), await members(3)], [['ann', 'bob', 'joe'], ['ann', 'bob', 'joe']]);
  await stage.database.query(`DELETE FROM chat_room_user WHERE user_id = 'joe' OR (room_id = 3 AND user_id = 'bob')`);
  const { stdout } = await imports();
  assert.equal(stdout, 'imported: 3 rooms, 601 messages\n');
  assert.deepEqual([await members(1), await members(3)], [['ann', 'bob'], ['ann']]);

  const one = await stage.start();
  const [ann, bob, eve] = ['ann', 'bob', 'eve'].map((user) => stage.person(user));
  const old = await stage.database.query(`SELECT id, serial, sender, body, created FROM chat_message WHERE room_id = 1 ORDER BY serial`);
  const all = [];
  for (let before = ''; before !== undefined;) {
    const { body } = await stage.rest(one, bob, 'GET', `/rooms/1/messages?limit=100${before}`);
    all.unshift(...body.messages);
    before = body.before ? `&before=${body.before}` : undefined;
  }
  assert.deepEqual(
    all,
    old.map(({ id, sender, body, created }) => ({ id, roomId: 1, senderId: sender, message: body, createdAt: created.toISOString() })),
  );
  const unread = old.filter(({ serial, sender }) => Number(serial) > 501 && sender !== 'bob').length;
  const rooms = await stage.rest(one, bob, 'GET', '/rooms');
  const first = rooms.body.find(({ roomId }) => roomId === 1);
  assert.deepEqual([first.name, first.unread], ['first', unread]);
  assert.equal((await stage.rest(one, eve, 'GET', '/rooms/1/messages')).status, 403, 'a sender who is no member any more');

  // And on it goes.
  const hers = await stage.enter(one, ann);
  await hers.ask('joinRoom', { roomId: 1 });
  const sent = await hers.ask('sendMessage', { roomId: 1, message: 'new' });
  assert.equal(sent.success, true);
  const { body } = await stage.rest(one, bob, 'GET', '/rooms/1/messages?limit=2');
  assert.deepEqual(body.messages.map(({ message }) => message), ['late', 'new']);

  // And back: what the document says about that finds the new one alone.
  assert.equal(await one.stop(), 0);
  const document = await readFile(new URL('../../../docs/migrating/verified.md', import.meta.url), 'utf8');
  const query = /SELECT r\.id::bigint AS room_id[^;]*/.exec(document)[0];
  const [back, ...more] = await stage.database.query(query);
  assert.deepEqual(more, []);
  assert.deepEqual([back.room_id, back.sender, back.body, back.created_at.toISOString()], ['1', 'ann', 'new', sent.data.createdAt]);
});

test('whoever was added or removed here stays so when it is imported again', async () => {
  const one = await stage.start();
  const [ann, bob] = ['ann', 'bob'].map((user) => stage.person(user));
  // Looking at a room changes nothing of that; its members follow the old system until somebody does something here.
  assert.equal((await stage.rest(one, bob, 'GET', '/rooms/2/messages')).status, 200);
  assert.equal((await stage.rest(one, bob, 'DELETE', '/rooms/2/members/ann')).status, 204);
  assert.equal((await stage.rest(one, ann, 'POST', '/rooms/3/members', { userId: 'zoe' })).status, 204);
  await stage.room(one, 4, [ann]);
  assert.equal(await one.stop(), 0);
  await stage.database.query(`INSERT INTO chat_room (id, title, owner) VALUES (4, 'another fourth', 'bob')`);
  // What a server has opened takes no more messages from there: that is said, and nothing is changed.
  const { code, stderr } = await imports();
  assert.equal(code, 1);
  assert.match(stderr, /a server has opened it/);
  assert.deepEqual([await members(1), await members(2), await members(3), await members(4)], [['ann', 'bob'], ['bob'], ['ann', 'zoe'], ['ann']]);
});

test('what is missing is named', async () => {
  const { code, stderr } = await run(PROGRAM, { args: ['import'], env: { IMPORT_SCHEMA: 'a; drop' } });
  assert.equal(code, 2);
  assert.match(stderr, /\n {2}DATABASE_URL: [^]*\n {2}IMPORT_SCHEMA: /);
});
