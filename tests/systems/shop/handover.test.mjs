// Stores that change hands, also to and from people who buy there, while rooms are made, and with calls that fail on the way.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { until } from '../server.mjs';
import { Shop, done, texts } from './shop.mjs';

const seller = { role: 'SELLER' };
let shop;
before(async () => {
  shop = await Shop.open();
});
after(() => shop.close());

const owned = async (user, store) => (await shop.rest(user, 'GET', `/seller/chat-room/store/${store}`, seller)).body;
const members = async (room) => {
  const rows = await shop.database.query(
    'SELECT m."user" FROM chat.members m JOIN chat.rooms r USING (room) WHERE r.id = $1 AND m.role IS NOT NULL AND m.left_at IS NULL ORDER BY 1', [room]);
  return rows.map(({ user }) => user);
};

test('an owner who buys there stays the buyer, and the next one has the seller’s side', async () => {
  await shop.store('1', 'ann');
  const rooms = {};
  for (const buyer of ['bea', 'ben', 'bob']) rooms[buyer] = (await shop.room(buyer, '1')).id;
  await done(await shop.client('bea'), 'send-message', { roomId: rooms.bea, text: 'from bea' });
  await shop.store('1', 'bea');
  assert.deepEqual(await members(rooms.bea), ['bea']);
  assert.deepEqual(await members(rooms.ben), ['bea', 'ben']);
  assert.deepEqual((await owned('bea', '1')).map(({ id }) => id), [rooms.bob, rooms.ben]);
  // The room without a seller is exported like any other.
  const { code, stdout, stderr } = await shop.run('export');
  assert.equal(code, 0, stderr);
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.filter(({ room }) => room).map(({ room }) => room.id).toSorted(), Object.values(rooms).toSorted());
  assert.deepEqual(lines.filter(({ message }) => message).map(({ message }) => message.text), ['from bea']);

  await shop.store('1', 'cat');
  assert.deepEqual(await members(rooms.bea), ['bea', 'cat']);
  assert.deepEqual(await members(rooms.ben), ['ben', 'cat']);
  // In the order they had: newest first, by when they were made where nothing was said. What was said before counts as read.
  const list = await owned('cat', '1');
  assert.deepEqual(list.map(({ id, unreadCount }) => [id, unreadCount]), [[rooms.bea, 0], [rooms.bob, 0], [rooms.ben, 0]]);
  await done(await shop.client('cat', seller), 'send-message', { roomId: rooms.bea, text: 'from cat' });
  assert.deepEqual(texts(await shop.all('bea', rooms.bea)), ['from bea', 'from cat']);
});

test('a handover that failed on the way is done by doing it again', async () => {
  await shop.store('2', 'dan');
  const rooms = [];
  for (let number = 0; number < 4; number += 1) rooms.push((await shop.room(`buyer${number}`, '2')).id);
  await shop.database.query(`
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
    CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON chat.members FOR EACH ROW
      WHEN (NEW."user" = 'eve') EXECUTE FUNCTION fail()`);
  assert.equal((await shop.run('store', '2', 'eve', 'Store')).code, 1);
  await shop.database.query('DROP TRIGGER fail ON chat.members');
  // The new one is in, and the former one does not go; then it is sold once more.
  await shop.database.query(`CREATE TRIGGER fail BEFORE UPDATE ON chat.members FOR EACH ROW WHEN (NEW."user" = 'dan') EXECUTE FUNCTION fail()`);
  assert.equal((await shop.run('store', '2', 'eve', 'Store')).code, 1);
  await shop.database.query('DROP TRIGGER fail ON chat.members');
  await shop.store('2', 'fay');
  for (const [number, room] of rooms.entries()) assert.deepEqual(await members(room), [`buyer${number}`, 'fay']);
  assert.deepEqual(await shop.database.query('SELECT * FROM shop.former_owners'), []);
});

test('opening a room puts right what was left half done there', async () => {
  await shop.store('5', 'ira');
  const { id } = await shop.room('jan', '5');
  // The new owner is in, the former one does not go.
  await shop.database.query(`CREATE TRIGGER fail BEFORE UPDATE ON chat.members FOR EACH ROW WHEN (NEW."user" = 'ira') EXECUTE FUNCTION fail()`);
  assert.equal((await shop.run('store', '5', 'kim', 'Store')).code, 1);
  await shop.database.query('DROP TRIGGER fail ON chat.members');
  assert.deepEqual(await members(id), ['ira', 'jan', 'kim']);
  assert.equal((await shop.room('jan', '5')).id, id);
  assert.deepEqual(await members(id), ['jan', 'kim']);
  await shop.store('5', 'kim');
});

test('a room that is made while its store changes hands is the new owner’s', async () => {
  await shop.store('3', 'gus');
  await shop.room('early', '3');
  const blocker = new pg.Client({ connectionString: shop.database.url });
  await blocker.connect();
  try {
    // It has read who owns the store, and cannot go on.
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE chat.rooms IN EXCLUSIVE MODE');
    const opening = shop.room('late', '3');
    await until('it waits', async () => {
      const [{ count }] = await shop.database.query(
        "SELECT count(*)::int FROM pg_locks WHERE relation = 'chat.rooms'::regclass AND NOT granted");
      return count > 0;
    });
    // Nobody else may need that table: as if all of the handover came in between.
    await blocker.query("UPDATE shop.stores SET owner_id = 'hal' WHERE id = '3'");
    await blocker.query('COMMIT');
    const { id } = await opening;
    assert.deepEqual(await members(id), ['hal', 'late']);
  } finally {
    await blocker.end();
  }
});

test('handovers of one store at the same time end with one owner everywhere', async () => {
  await shop.store('4', 'ida');
  const rooms = [];
  for (let number = 0; number < 6; number += 1) rooms.push((await shop.room(`many${number}`, '4')).id);
  await Promise.all(['jan', 'kim', 'lea'].map((owner) => shop.store('4', owner)));
  const [{ owner_id: owner }] = await shop.database.query("SELECT owner_id FROM shop.stores WHERE id = '4'");
  for (const [number, room] of rooms.entries()) assert.deepEqual(await members(room), [owner, `many${number}`]);
});
