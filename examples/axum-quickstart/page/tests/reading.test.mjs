// What is read stays read, whatever answer comes late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoomState } from '../room.js';

const summary = (unread, read) => ({ room: { id: 'general' }, unread, read, head: 'e.10' });

function roomAt(read) {
  const room = new RoomState('general');
  room.takeSummary(summary(0, read));
  room.startFrom({ entries: [], cursor: 'e.10' });
  return room;
}

test('a list of rooms from before a room was read does not make it unread again', () => {
  const room = roomAt('e.3');
  // As when somebody opens the room while the list is under way.
  Object.assign(room, { read: 'e.10', unread: 0 });
  assert.equal(room.takeSummary(summary(7, 'e.3')), true, 'the number is to be asked for');
  assert.deepEqual([room.unread, room.read], [0, 'e.10']);
});

test('a list of rooms counts where nothing newer is known here', () => {
  const room = roomAt('e.3');
  assert.equal(room.takeSummary(summary(4, 'e.6')), false, 'read on another device');
  assert.deepEqual([room.unread, room.read], [4, 'e.6']);
  assert.equal(room.takeSummary(summary(0, 'e.10')), false);
  assert.deepEqual([room.unread, room.read], [0, 'e.10']);
});
