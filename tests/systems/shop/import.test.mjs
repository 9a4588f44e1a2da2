// The rows of the system from before, there and back, by the SQL that docs/migrating/shop.md gives.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { until } from '../server.mjs';
import { Shop, ask, done, texts } from './shop.mjs';

const TABLES = `
CREATE TABLE store (id bigint PRIMARY KEY, owner_id text NOT NULL, name text NOT NULL);
CREATE TABLE chat_room (id text PRIMARY KEY, user_id text NOT NULL, store_id bigint NOT NULL REFERENCES store, last_message text,
  last_message_at timestamptz, user_unread_count integer NOT NULL DEFAULT 0, store_unread_count integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL, UNIQUE (user_id, store_id));
CREATE TABLE chat_message (id bigserial PRIMARY KEY, room_id text NOT NULL REFERENCES chat_room, sender_type text NOT NULL,
  sender_id text NOT NULL, text text NOT NULL, created_at timestamptz NOT NULL);`;

/** The blocks of SQL of the page, without their indentation. */
const blocks = async () => {
  const page = await readFile(new URL('../../../docs/migrating/shop.md', import.meta.url), 'utf8');
  return [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) => sql);
};

const seller = { role: 'SELLER' };
const START = Date.UTC(2024, 0, 1);
let shop;
/** What was written there: by room, in order. */
const old = new Map();

/** One more message in the old tables, as the old service stores it. */
async function say(roomId, side, text, at) {
  const room = old.get(roomId);
  const sender = side === 'USER' ? room.buyer : String(room.store);
  const insert = 'INSERT INTO chat_message (room_id, sender_type, sender_id, text, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id';
  const [{ id }] = await shop.database.query(insert, [roomId, side, sender, text, at]);
  const counter = side === 'USER' ? 'store_unread_count' : 'user_unread_count';
  await shop.database.query(`UPDATE chat_room SET ${counter} = ${counter} + 1, last_message = $2, last_message_at = $3 WHERE id = $1`, [roomId, text, at]);
  room.messages.push({ id, text, senderId: side === 'USER' ? room.buyer : 'sue', senderType: side, createdAt: at.toISOString() });
  room.unread[side === 'USER' ? 'store' : 'buyer'] += 1;
}

before(async () => {
  shop = await Shop.open({ servers: 0 });
  await shop.database.query(TABLES);
  await shop.database.query("INSERT INTO store VALUES (1, 'sue', 'Flowers'), (2, 'sue', 'Pots')");
  for (let number = 0; number < 12; number += 1) {
    const [id, buyer, store] = [`room-${String(number * 7 % 12).padStart(2, '0')}`, `buyer${number % 6}`, number < 6 ? 1 : 2];
    old.set(id, { buyer, store, messages: [], unread: { buyer: 0, store: 0 } });
    await shop.database.query('INSERT INTO chat_room (id, user_id, store_id, created_at) VALUES ($1, $2, $3, $4)', [id, buyer, store, new Date(START + number)]);
  }
  // Some rooms say nothing, one says more than fits one batch, several times are the same.
  const rooms = [...old.keys()];
  for (let number = 0; number < 400; number += 1) {
    const roomId = rooms[(number * number) % 10];
    await say(roomId, number % 3 ? 'USER' : 'STORE', `m${number}${number === 7 ? 'x'.repeat(2_000) : ''}`, new Date(START + 1_000 * Math.floor(number / 2)));
  }
  for (let number = 0; number < 700; number += 1) await say(rooms[9], 'STORE', `long ${number}`, new Date(START + 2_000_000 + number));
  // One side has read everything.
  await shop.database.query('UPDATE chat_room SET user_unread_count = 0 WHERE id = $1', [rooms[0]]);
  old.get(rooms[0]).unread.buyer = 0;
});
after(() => shop.close());

/** What the new service says is what the old one knew. */
async function compare() {
  for (const [id, { buyer, store, messages, unread }] of old) {
    const brief = ({ id, text, senderId, senderType, createdAt }) => ({ id: String(id), text, senderId, senderType, createdAt });
    assert.deepEqual((await shop.all(buyer, id)).map(brief), messages.map(brief), id);
    const room = (await shop.rest(buyer, 'GET', '/user/chat-room')).body.find((room) => room.id === id);
    const last = messages.at(-1);
    assert.deepEqual(
      [room.store.id, room.lastMessage, room.lastMessageAt, room.unreadCount, room.createdAt.slice(0, 10)],
      [String(store), last?.text ?? null, last?.createdAt ?? null, unread.buyer, '2024-01-01'],
    );
    const { body } = await shop.rest('sue', 'GET', `/seller/chat-room/store/${store}`, seller);
    assert.equal(body.find((room) => room.id === id).unreadCount, unread.store, id);
  }
  for (const store of [1, 2]) {
    const { body } = await shop.rest('sue', 'GET', `/seller/chat-room/store/${store}`, seller);
    const times = body.map(({ lastMessageAt }) => lastMessageAt).filter(Boolean);
    assert.deepEqual(times, times.toSorted().toReversed(), 'newest message first');
  }
}

test('without the views an import says where it is written how to make them', async () => {
  const { code, stderr } = await shop.run('import');
  assert.equal(code, 1);
  assert.match(stderr, /what is to be imported is not as docs\/migrating\/shop\.md has it: .*chat_import/);
});

test('arguments are explained without settings, and unknown ones are refused', async () => {
  const { code, stdout } = await shop.run('--help');
  assert.deepEqual([code, /store ID OWNER NAME/.test(stdout)], [0, true]);
  assert.equal((await shop.run('improt')).code, 2);
});

test('rooms, messages, ids, order, times and counts are taken over; again changes nothing; what came meanwhile follows', async () => {
  const [views] = await blocks();
  await shop.database.query(views);
  const count = () => [...old.values()].reduce((sum, { messages }) => sum + messages.length, 0);
  const imported = async () => {
    const { code, stdout, stderr } = await shop.run('import');
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), `imported: 2 stores, 12 rooms, ${count()} messages`);
  };
  await imported();
  await shop.start();
  await compare();
  await imported();
  await compare();
  const id = [...old.keys()][3];
  await say(id, 'STORE', 'meanwhile', new Date(START + 5_000_000));
  await say([...old.keys()][11], 'USER', 'the first one', new Date(START + 5_000_001));
  await imported();
  await compare();
});

test('the room of a pair is the one that was taken over, and goes on', async () => {
  const [id, { buyer, store, messages }] = [...old][3];
  assert.equal((await shop.room(buyer, store)).id, id);
  const [socket, sue] = [await shop.client(buyer), await shop.client('sue', seller)];
  await done(socket, 'join-room', { roomId: id });
  await done(sue, 'send-message', { roomId: id, text: 'new here' });
  assert.deepEqual(texts(await shop.all(buyer, id)), [...texts(messages), 'new here']);
  const read = await shop.rest(buyer, 'POST', `/user/chat-room/${id}/read`);
  assert.equal(read.body.unreadCount, 0);
  // An old id is nobody's to take.
  const forged = await ask(socket, 'send-message', { roomId: id, text: 'x', clientMsgId: `imported:${messages[0].id}` });
  assert.equal(forged.success, false);
  // Another import leaves what was said and read here as it is.
  assert.equal((await shop.run('import')).code, 0);
  assert.deepEqual(texts(await shop.all(buyer, id)), [...texts(messages), 'new here']);
  assert.equal((await shop.room(buyer, store)).unreadCount, 0);
});

test('a room into which somebody wrote here takes no more from there', async () => {
  const id = [...old.keys()][3];
  const kept = await shop.database.query('SELECT max(id) AS id FROM chat_message');
  await say(id, 'USER', 'too late', new Date(START + 6_000_000));
  const { code, stderr } = await shop.run('import');
  assert.equal(code, 1);
  assert.match(stderr, /somebody wrote there meanwhile/);
  await shop.database.query('DELETE FROM chat_message WHERE id > $1', [kept[0].id]);
  old.get(id).messages.pop();
});

test('and back: what was said here is in the old tables once, in order', async () => {
  await shop.room('newcomer', '1');
  const newcomer = await shop.client('newcomer');
  const { id } = await shop.room('newcomer', '1');
  for (let number = 0; number < 5; number += 1) await done(newcomer, 'send-message', { roomId: id, text: `new ${number} "quoted" \\ 🌷` });
  const { code, stdout, stderr } = await shop.run('export');
  assert.equal(code, 0, stderr);
  await shop.database.query('CREATE TABLE chat_export (line jsonb NOT NULL)');
  const lines = stdout.trim().split('\n');
  await shop.database.query('INSERT INTO chat_export SELECT line::jsonb FROM unnest($1::text[]) AS x(line)', [lines]);
  const [, back] = await blocks();
  for (let run = 0; run < 2; run += 1) await shop.database.query(back);
  const [told, room] = [
    await shop.database.query('SELECT text, sender_type FROM chat_message WHERE room_id = $1 ORDER BY created_at, id', [id]),
    (await shop.database.query('SELECT * FROM chat_room WHERE id = $1', [id]))[0],
  ];
  assert.deepEqual(told.map(({ text, sender_type: side }) => [text, side]), [0, 1, 2, 3, 4].map((n) => [`new ${n} "quoted" \\ 🌷`, 'USER']));
  assert.deepEqual([room.user_id, room.user_unread_count, room.store_unread_count, room.last_message], ['newcomer', 0, 5, told.at(-1).text]);
  const [{ count }] = await shop.database.query('SELECT count(*)::int FROM chat_message');
  assert.equal(count, [...old.values()].reduce((sum, { messages }) => sum + messages.length, 0) + 6);
});

test('what cannot be taken over is named', async () => {
  await shop.database.query("INSERT INTO chat_room (id, user_id, store_id, created_at) VALUES ('own', 'sue', 1, now())");
  const { code, stderr } = await shop.run('import');
  assert.equal(code, 1);
  assert.match(stderr, /room own: its buyer owns the store/);
});

test('one moment is taken over, and who owned a store before is out of its rooms after the next run', async () => {
  const other = await Shop.open({ servers: 0 });
  const blocker = new pg.Client({ connectionString: other.database.url });
  try {
    await other.database.query(TABLES);
    await other.database.query((await blocks())[0]);
    await other.database.query("INSERT INTO store VALUES (1, 'sue', 'Flowers')");
    for (const room of ['a', 'b']) {
      await other.database.query("INSERT INTO chat_room (id, user_id, store_id, created_at) VALUES ($1, $1 || '-buyer', 1, now())", [room]);
    }
    const insert = `INSERT INTO chat_message (room_id, sender_type, sender_id, text, created_at) VALUES ('a', 'USER', 'a-buyer', $1, clock_timestamp())`;
    await other.database.query(insert, ['first']);
    // Makes the tables: nothing is there to be taken over while it is read.
    assert.equal((await other.run('export')).code, 0);
    await blocker.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE chat.rooms IN EXCLUSIVE MODE');
    const importing = other.run('import');
    await until('it waits', async () => {
      const waits = "SELECT count(*)::int FROM pg_locks WHERE relation = 'chat.rooms'::regclass AND NOT granted";
      return (await other.database.query(waits))[0].count > 0;
    });
    await other.database.query(insert, ['meanwhile']);
    await other.database.query("UPDATE chat_room SET store_unread_count = 1 WHERE id = 'a'");
    await blocker.query('COMMIT');
    const { stdout, stderr } = await importing;
    assert.equal(stdout, 'imported: 1 stores, 2 rooms, 1 messages\n', stderr);

    await other.database.query("UPDATE store SET owner_id = 'tim'");
    assert.equal((await other.run('import')).stdout, 'imported: 1 stores, 2 rooms, 2 messages\n');
    const members = await other.database.query(
      'SELECT r.id, m."user" FROM chat.members m JOIN chat.rooms r USING (room) WHERE m.role IS NOT NULL AND m.left_at IS NULL ORDER BY 1, 2');
    assert.deepEqual(members.map(({ id, user }) => [id, user]), [['a', 'a-buyer'], ['a', 'tim'], ['b', 'b-buyer'], ['b', 'tim']]);
    await other.start();
    assert.equal((await other.rest('sue', 'GET', '/seller/chat-room/a/messages', seller)).status, 403);
    assert.deepEqual(texts((await other.rest('tim', 'GET', '/seller/chat-room/a/messages', seller)).body.messages), ['meanwhile', 'first']);
  } finally {
    await blocker.end().catch(() => {});
    await other.close();
  }
});
