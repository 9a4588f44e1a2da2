// The rows of the system that is replaced, taken over from its tables on a real PostgreSQL.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, run, until } from '../server.mjs';
import { Stage, ask, text } from './stage.mjs';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A ULID of this time. */
function ulid(time, number) {
  let [text, left] = ['', time];
  for (let digit = 0; digit < 10; digit++, left = Math.floor(left / 32)) text = ALPHABET[left % 32] + text;
  return text + String(number).padStart(16, '0');
}

/** As the replaced system may have it; views say where the import finds what. */
const TABLES = `
CREATE SCHEMA old;
CREATE TABLE old.users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, password text NOT NULL, created timestamptz NOT NULL);
CREATE TABLE old.room (id uuid PRIMARY KEY, title text, owner uuid NOT NULL, created timestamptz NOT NULL);
CREATE TABLE old.room_member (room uuid, member uuid, joined timestamptz NOT NULL, last_read char(26), PRIMARY KEY (room, member));
CREATE TABLE old.message (id char(26) PRIMARY KEY, room uuid NOT NULL, sender uuid NOT NULL, client_msg_id text, kind text NOT NULL, body text NOT NULL);
CREATE SCHEMA chat_import;
CREATE VIEW chat_import.accounts AS SELECT id, email, password AS password_hash, created AS created_at FROM old.users;
CREATE VIEW chat_import.rooms AS SELECT id, title AS name, created AS created_at FROM old.room;
CREATE VIEW chat_import.members AS SELECT m.room AS room_id, m.member AS user_id, m.member = r.owner AS is_creator, m.joined AS joined_at,
  m.last_read AS last_read_message_id FROM old.room_member m JOIN old.room r ON r.id = m.room;
CREATE VIEW chat_import.messages AS SELECT id, room AS room_id, sender AS sender_id, client_msg_id, kind AS type, body AS content FROM old.message;
`;

const uuid = (kind, number) => `${kind}0000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const PEOPLE = 5;
const ROOMS = 4;
const MESSAGES = 300;
const BEGAN = Date.UTC(2024, 0, 1);

test('import keeps ids, order and times, can be done again, and the chat goes on from there', async () => {
  const stage = await Stage.set();
  try {
    // A hash as that system made it: by registering with one of ours and asking the table.
    const probe = await stage.gateway();
    await stage.person(probe, 'probe');
    const [{ password_hash: hash }] = await stage.database.query("SELECT password_hash FROM group_chat.accounts WHERE email = 'probe@example.com'");
    assert.equal(await probe.stop(), 0);
    const old = await fill(stage.database, hash);

    const first = await run('example-axum-group', { args: ['import'], env: stage.env });
    assert.deepEqual([first.code, first.stdout.trim()], [0, `imported: ${PEOPLE} accounts, ${ROOMS} rooms, ${MESSAGES} messages`], first.stderr);
    const again = await run('example-axum-group', { args: ['import'], env: stage.env });
    assert.equal(again.code, 0, again.stderr);

    const [gateway] = await Promise.all([stage.gateway(), stage.worker()]);
    const login = await request('POST', `${gateway.url}/auth/login`, { body: { email: 'Person1@example.com', password: 'correct horse battery' } });
    assert.deepEqual([login.status, login.body.user.id], [201, uuid('a', 1)]);
    const person = stage.stranger(gateway, uuid('a', 1));
    const rooms = (await person.call('GET', '/rooms')).body;
    // Latest activity first, not by when they were taken over.
    const latest = old.rooms.toSorted((a, b) => (a.messages.at(-1).id < b.messages.at(-1).id ? 1 : -1));
    assert.deepEqual(rooms.map(({ id }) => id), latest.map(({ id }) => id));
    for (const { id, messages, read } of old.rooms) {
      const found = await person.after(id, messages[0].id, 50);
      assert.deepEqual(found.map((message) => [message.id, message.senderId, message.clientMsgId, message.type, message.content]),
        messages.slice(1).map((message) => [message.id, message.sender, message.name ?? `imported:${message.id}`, message.kind, message.body]));
      assert.deepEqual(found.map(({ createdAt }) => Date.parse(createdAt)), messages.slice(1).map(({ at }) => at));
      const listed = rooms.find((room) => room.id === id);
      const unread = messages.slice(read + 1).filter(({ sender }) => sender !== person.id).length;
      assert.deepEqual([listed.unreadCount, listed.name, Date.parse(listed.createdAt), Date.parse(listed.joinedAt)], [unread, `room ${id.at(-1)}`, BEGAN, BEGAN]);
      const members = (await person.call('GET', `/rooms/${id}/members`)).body;
      assert.deepEqual(members.map(({ userId, role }) => [userId, role]), Array.from({ length: PEOPLE }, (_, number) => [uuid('a', number), number === 0 ? 'owner' : 'member']));
    }
    // New messages follow the old ones, and a repeat of an old one is still that one.
    const { id: room, messages } = old.rooms[0];
    const socket = await person.joined(room);
    const mine = messages.find(({ sender, name }) => sender === person.id && name);
    assert.equal((await ask(socket, 'sendMessage', { ...text(room, mine.name, mine.body), type: mine.kind })).status, 'ACCEPTED');
    assert.equal((await ask(socket, 'sendMessage', text(room, 'new'))).status, 'ACCEPTED');
    await until('the new one', () => socket.messages.some(({ clientMsgId }) => clientMsgId === 'new'));
    const after = await person.after(room, messages.at(-1).id);
    assert.deepEqual(after.map(({ clientMsgId }) => clientMsgId), ['new']);
    assert.ok(after[0].id > messages.at(-1).id);
  } finally {
    await stage.end();
  }
});

test('what was changed between two imports is taken over, and what happened here stays', async () => {
  const stage = await Stage.set();
  const { database } = stage;
  try {
    const probe = await stage.gateway();
    const login = async (name, password) => (await request('POST', `${probe.url}/auth/login`, { body: { email: `${name}@example.com`, password } })).status;
    // Hashes as that system made them.
    const hash = async (name, password) => {
      await request('POST', `${probe.url}/auth/register`, { body: { email: `${name}@example.com`, password } });
      const [row] = await database.query('SELECT password_hash FROM group_chat.accounts WHERE email = $1', [`${name}@example.com`]);
      return row.password_hash;
    };
    const [first, second] = [await hash('probe1', 'the first password'), await hash('probe2', 'the second password')];
    const foreign = '$argon2i$v=19$m=4096,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$';
    await fill(database, first);
    const again = async () => {
      const { code, stderr } = await run('example-axum-group', { args: ['import'], env: stage.env });
      assert.equal(code, 0, stderr);
    };
    await again();
    assert.deepEqual([await login('person1', 'the first password'), await login('person1', 'the second password')], [201, 401]);
    await database.query('UPDATE old.users SET password = $1 WHERE id = $2', [second, uuid('a', 1)]);
    await database.query("UPDATE old.users SET email = 'new2@example.com' WHERE id = $1", [uuid('a', 2)]);
    await database.query("UPDATE old.room SET title = 'renamed' WHERE id = $1", [uuid('b', 0)]);
    // A hash that was made anew here stays, as long as that of the old system does.
    await database.query('UPDATE group_chat.accounts SET password_hash = $1 WHERE id = $2', [second, uuid('a', 3)]);
    await database.query('DELETE FROM old.room_member WHERE member = $1', [uuid('a', 4)]);
    await stage.worker();
    const [owner, gone] = [stage.stranger(probe, uuid('a', 0)), stage.stranger(probe, uuid('a', 4))];
    const joined = stage.stranger(probe);
    assert.equal((await joined.call('POST', `/rooms/${uuid('b', 0)}/join`)).status, 201);
    await again();
    assert.deepEqual([await login('person1', 'the first password'), await login('person1', 'the second password')], [401, 201]);
    assert.deepEqual([await login('person2', 'the first password'), await login('new2', 'the first password')], [401, 201]);
    assert.equal(await login('person3', 'the second password'), 201);
    for (let number = 0; number < ROOMS; number++) {
      assert.equal((await gone.call('GET', `/rooms/${uuid('b', number)}/messages`)).status, 403);
    }
    const members = (await owner.call('GET', `/rooms/${uuid('b', 0)}/members`)).body.map(({ userId }) => userId);
    assert.deepEqual(members, [0, 1, 2, 3].map((number) => uuid('a', number)).concat(joined.id), 'who joined here is still a member');
    assert.ok((await owner.call('GET', '/rooms')).body.some(({ id, name }) => id === uuid('b', 0) && name === 'renamed'));
    // A room that was written to here goes its own way.
    const socket = await owner.joined(uuid('b', 1));
    assert.equal((await ask(socket, 'sendMessage', text(uuid('b', 1), 'here'))).status, 'ACCEPTED');
    await until('it is stored', () => socket.messages.length === 1);
    await database.query('DELETE FROM old.room_member WHERE member = $1', [uuid('a', 3)]);
    await again();
    const reads = async (number) => (await stage.stranger(probe, uuid('a', 3)).call('GET', `/rooms/${uuid('b', number)}/messages`)).status;
    assert.deepEqual([await reads(0), await reads(1)], [403, 200]);
    // One login must not take what all of them have.
    await database.query('UPDATE old.users SET password = $1 WHERE id = $2', [`${foreign.replace('m=4096', 'm=1048576')}${first.split('$').at(-1)}`, uuid('a', 2)]);
    const { code, stderr } = await run('example-axum-group', { args: ['import'], env: stage.env });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`account ${uuid('a', 2)}: .*parameters`));
  } finally {
    await stage.end();
  }
});

test('a row that cannot be taken over is named', async () => {
  const stage = await Stage.set();
  try {
    await fill(stage.database, '$2b$10$of.another.kind');
    await stage.database.query('UPDATE old.room_member SET last_read = $1 WHERE room = $2 AND member = $3', [ulid(BEGAN - 1, 7), uuid('b', 1), uuid('a', 2)]);
    const { code, stderr } = await run('example-axum-group', { args: ['import'], env: stage.env });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`room ${uuid('b', 1)}: ${uuid('a', 2)} has read up to`));
  } finally {
    await stage.end();
  }
});

async function fill(database, hash) {
  await database.query(TABLES);
  const time = new Date(BEGAN);
  for (let number = 0; number < PEOPLE; number++) {
    await database.query('INSERT INTO old.users VALUES ($1, $2, $3, $4)', [uuid('a', number), `person${number}@example.com`, hash, time]);
  }
  const rooms = Array.from({ length: ROOMS }, (_, number) => ({ id: uuid('b', number), messages: [] }));
  for (const { id } of rooms) {
    await database.query('INSERT INTO old.room VALUES ($1, $2, $3, $4)', [id, `room ${id.at(-1)}`, uuid('a', 0), time]);
    for (let number = 0; number < PEOPLE; number++) {
      await database.query('INSERT INTO old.room_member VALUES ($1, $2, $3, NULL)', [id, uuid('a', number), time]);
    }
  }
  for (let number = 0; number < MESSAGES; number++) {
    const room = rooms[number % ROOMS];
    // Several in one millisecond, as gateways made them.
    const at = BEGAN + 1_000 + Math.floor(number / 10) * 60_000;
    const message = { id: ulid(at, number), at, sender: uuid('a', number % PEOPLE), name: number % 7 === 0 ? null : `m${number}`,
      kind: number % 11 === 0 ? 'IMAGE' : 'TEXT', body: `message ${number}` };
    room.messages.push(message);
    await database.query('INSERT INTO old.message VALUES ($1, $2, $3, $4, $5, $6)', [message.id, room.id, message.sender, message.name, message.kind, message.body]);
  }
  for (const room of rooms) {
    room.read = 40;
    await database.query('UPDATE old.room_member SET last_read = $1 WHERE room = $2', [room.messages[room.read].id, room.id]);
  }
  return { rooms };
}
