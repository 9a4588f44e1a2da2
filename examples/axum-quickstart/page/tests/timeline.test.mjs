import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Span } from '../span.js';
import { Timeline } from '../timeline.js';
import { cursor, entry, page } from './harness.mjs';

const edit = (seq, target, text) => entry(seq, { kind: 'edit', target, text });
const remove = (seq, target) => entry(seq, { kind: 'delete', target, text: undefined });
const react = (seq, target, sender, key, op = 'add') => entry(seq, { kind: 'reaction', target, sender, key, op, text: undefined });
const filled = (...entries) => {
  const timeline = new Timeline();
  for (const each of entries) timeline.applyEntry(each);
  return timeline;
};
const shape = (timeline) => timeline.items().map(({ kind, seq, text }) => (kind === 'hole' ? 'hole' : (seq ?? text)));

/** A small generator, so that a failure comes again. */
function chance(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
const pick = (random, list) => list[Math.floor(random() * list.length)];
function shuffled(random, list) {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

function randomLog(random, length) {
  const log = [];
  for (let seq = 1; seq <= length; seq++) {
    const target = `m${1 + Math.floor(random() * 4)}`;
    const kind = seq <= 4 ? 'chat' : pick(random, ['chat', 'edit', 'reaction', 'reaction', 'reaction', random() < 0.2 ? 'delete' : 'join']);
    if (kind === 'edit') log.push(edit(seq, target, `edit ${seq}`));
    else if (kind === 'delete') log.push(remove(seq, target));
    else if (kind === 'reaction') log.push(react(seq, target, pick(random, ['ann', 'bob', 'cy']), pick(random, ['👍', '🎉']), pick(random, ['add', 'remove'])));
    else log.push(entry(seq, { kind, user: 'dee' }));
  }
  return log;
}

/** The state after the log, told independently: one change after the other, in order. */
function model(log) {
  const messages = new Map();
  for (const { kind, id, seq, target, key, op, sender, text } of log) {
    const message = messages.get(target);
    if (kind === 'chat' || kind === 'join') messages.set(id, { id, seq, kind, text, edited: undefined, deleted: false, reactions: {} });
    else if (kind === 'edit') Object.assign(message, { text, edited: seq });
    else if (kind === 'delete') message.deleted = true;
    else if (op === 'add') (message.reactions[key] ??= new Set()).add(sender);
    else message.reactions[key]?.delete(sender);
  }
  return [...messages.values()].map((message) => view({
    ...message,
    edited: message.edited && { seq: message.edited },
    reactions: Object.entries(message.reactions).map(([name, users]) => ({ key: name, users: [...users], count: users.size })),
  }));
}

function view({ id, seq, kind, text, edited, deleted, reactions = [] }) {
  if (deleted) return { id, seq, kind, deleted: true };
  const counts = reactions.filter(({ count }) => count > 0).map(({ key, count, users }) => `${key} ${count} ${[...users].sort()}`);
  return { id, seq, kind, text, edited: edited?.seq, reactions: counts.sort() };
}
const views = (timeline) => timeline.items().map(view);

/** The page a server reads at the end of this log, for messages with a number of at least `from`. */
function pageOf(log, from = 1) {
  const folded = filled(...log).items().filter(({ seq }) => seq >= from);
  return { entries: structuredClone(folded), reachesStart: from === 1, reachesHead: true, cursor: cursor(log.length), seq: log.length };
}

test('entries in any order and any number of times make the same timeline', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = chance(seed);
    const log = randomLog(random, 40);
    const timeline = filled(...shuffled(random, [...log, ...log, ...log.slice(10)]));
    assert.deepEqual(views(timeline), model(log), `seed ${seed}`);
  }
});

test('a page and everything after it, repeated and overlapping, make the same timeline', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = chance(seed);
    const log = randomLog(random, 60);
    const read = 10 + Math.floor(random() * 40);
    const timeline = new Timeline();
    timeline.applyPage(pageOf(log.slice(0, read)), { replace: true });
    const again = Math.floor(random() * read);
    for (const each of [...log.slice(again), ...log.slice(read)]) timeline.applyEntry(each);
    assert.deepEqual(views(timeline), model(log), `seed ${seed}`);
  }
});

test('a page that was read earlier than it arrives takes nothing back', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = chance(seed);
    const log = randomLog(random, 60);
    const [began, read] = [8, 8 + Math.floor(random() * 52)];
    const timeline = new Timeline();
    timeline.applyPage(pageOf(log.slice(0, began), 3), { replace: true });
    for (const each of log.slice(began)) timeline.applyEntry(each);
    timeline.prependPage(pageOf(log.slice(0, read)));
    assert.deepEqual(views(timeline), model(log), `seed ${seed}`);
  }
});

test('a page read ahead of the entries is caught up with', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = chance(seed);
    const log = randomLog(random, 60);
    const timeline = new Timeline();
    timeline.applyPage(pageOf(log.slice(0, 10)), { replace: true });
    timeline.prependPage(pageOf(log.slice(0, 40)));
    for (const each of log.slice(10)) timeline.applyEntry(each);
    assert.deepEqual(views(timeline), model(log), `seed ${seed}`);
  }
});

test('the edit with the greater number holds', () => {
  const timeline = filled(entry(1), edit(5, 'm1', 'later'), edit(4, 'm1', 'earlier'));
  const [item] = timeline.items();
  assert.deepEqual([item.text, item.edited], ['later', { seq: 5, at: 't' }]);
});

test('an edit of a text into json leaves no text', () => {
  const [item] = filled(entry(1), edit(2, 'm1', undefined)).items();
  assert.equal(item.text, undefined);
  const changed = filled(entry(1), entry(2, { kind: 'edit', target: 'm1', text: undefined, json: { a: 1 } })).items()[0];
  assert.deepEqual([changed.text, changed.json], [undefined, { a: 1 }]);
});

test('a page whose edit is older than the one seen does not undo it', () => {
  const timeline = filled(entry(1), edit(5, 'm1', 'new'));
  timeline.applyPage({ entries: [entry(1, { text: 'old', edited: { seq: 3, at: 't' } })], reachesStart: true, cursor: cursor(4), seq: 4 });
  assert.equal(timeline.items()[0].text, 'new');
  timeline.applyPage({ entries: [entry(1, { text: 'newest', edited: { seq: 9, at: 't' } })], reachesStart: true, cursor: cursor(9), seq: 9 });
  assert.equal(timeline.items()[0].text, 'newest');
});

test('a deleted message has no body and no reactions, whatever comes later', () => {
  const timeline = filled(entry(1), react(2, 'm1', 'cy', '👍'), remove(3, 'm1'), edit(4, 'm1', 'back'), react(5, 'm1', 'bob', '👍'));
  const [item] = timeline.items();
  assert.deepEqual([item.deleted, item.text, item.edited, item.reactions], [true, undefined, undefined, undefined]);
});

test('a user counts once for each reaction', () => {
  const timeline = filled(entry(1), react(2, 'm1', 'bob', '👍'), react(3, 'm1', 'bob', '👍'), react(4, 'm1', 'cy', '👍'), react(5, 'm1', 'cy', '🎉'), react(6, 'm1', 'cy', '🎉', 'remove'));
  assert.deepEqual(timeline.items()[0].reactions, [{ key: '👍', count: 2, users: ['bob', 'cy'] }]);
});

test('a page ahead of the entries has the last word on what they said', () => {
  const timeline = filled(entry(1), react(2, 'm1', 'bob', '👍'));
  timeline.prependPage({ entries: [entry(1)], reachesStart: true, cursor: cursor(40), seq: 40 });
  assert.equal(timeline.items()[0].reactions, undefined, 'bob took it back before 40');
  timeline.applyEntry(react(2, 'm1', 'bob', '👍'));
  assert.equal(timeline.items()[0].reactions, undefined);
});

test('an entry that comes again after a page takes nothing from it', () => {
  const timeline = new Timeline();
  const message = entry(1, { reactions: [{ key: '👍', count: 1, users: ['bob'] }] });
  timeline.applyPage({ entries: [message], reachesStart: true, cursor: cursor(9), seq: 9 }, { replace: true });
  timeline.applyEntry(entry(1));
  assert.equal(timeline.items()[0].reactions[0].count, 1);
});

test('a reaction older than an edit on the page is in the page already', () => {
  const timeline = new Timeline();
  timeline.applyPage({ entries: [entry(1, { edited: { seq: 5, at: 't' } })], reachesStart: true, cursor: cursor(9), seq: 9 }, { replace: true });
  timeline.applyEntry(react(3, 'm1', 'bob', '👍'));
  assert.equal(timeline.items()[0].reactions, undefined);
});

test('an older page that comes after a newer one takes nothing from it', () => {
  const timeline = filled(entry(1), entry(2));
  const newer = entry(1, { text: 'edited', edited: { seq: 5, at: 't' }, reactions: [{ key: '👍', count: 1, users: ['bob'] }] });
  timeline.prependPage({ entries: [newer], reachesStart: true, cursor: cursor(9), seq: 9 });
  timeline.prependPage({ entries: [entry(1)], reachesStart: true, cursor: cursor(2), seq: 2 });
  assert.deepEqual([timeline.items()[0].text, timeline.items()[0].reactions[0].count], ['edited', 1]);
});

test('users a page only counts stay counted', () => {
  const timeline = new Timeline();
  timeline.applyPage({ entries: [entry(1, { reactions: [{ key: '👍', count: 50, users: ['bob'] }] })], reachesStart: true, cursor: cursor(60), seq: 60 }, { replace: true });
  timeline.applyEntry(react(61, 'm1', 'bob', '👍', 'remove'));
  assert.deepEqual(timeline.items()[0].reactions, [{ key: '👍', count: 49, users: [] }]);
});

test('a change that comes before its message waits for it', () => {
  const timeline = filled(edit(50, 'm1', 'changed'), react(51, 'm1', 'cy', '👍'));
  assert.deepEqual(timeline.items(), []);
  timeline.prependPage({ entries: [entry(1)], reachesStart: true, cursor: cursor(49), seq: 49 });
  assert.equal(timeline.items()[0].text, 'changed');
});

test('a pending message stands last and gives place to its entry', () => {
  const timeline = filled(entry(1));
  timeline.addPending({ clientId: 'x', sender: 'ann', text: 'mine' });
  timeline.applyEntry(entry(2, { sender: 'bob', clientId: 'x' }));
  assert.deepEqual(shape(timeline), [1, 2, 'mine'], 'the same clientId of another sender is another message');
  timeline.applyEntry(entry(3, { sender: 'ann', clientId: 'x', text: 'mine' }));
  assert.deepEqual(shape(timeline), [1, 2, 3]);
  timeline.addPending({ clientId: 'x', sender: 'ann', text: 'mine' });
  assert.deepEqual(shape(timeline), [1, 2, 3], 'an entry that came first leaves nothing pending');
});

test('a page takes the place of pending messages too, and keeps the others', () => {
  const timeline = filled(entry(1));
  timeline.addPending({ clientId: 'x', sender: 'ann', text: 'one' });
  timeline.addPending({ clientId: 'y', sender: 'ann', text: 'two' });
  timeline.applyPage({ entries: [entry(9, { sender: 'ann', clientId: 'x' })], reachesStart: true, cursor: cursor(9), seq: 9 }, { replace: true });
  assert.deepEqual(shape(timeline), [9, 'two']);
});

test('a pending message fails, is sent again, is discarded', () => {
  const timeline = new Timeline();
  timeline.addPending({ clientId: 'x', sender: 'ann', text: 'one' });
  timeline.markFailed('x', { code: 'rejected' });
  assert.deepEqual([timeline.items()[0].failed, timeline.items()[0].error.code], [true, 'rejected']);
  timeline.markSending('x');
  assert.deepEqual([timeline.items()[0].failed, timeline.items()[0].error], [false, undefined]);
  timeline.discard('x');
  timeline.markFailed('x', { code: 'late' });
  assert.deepEqual(timeline.items(), []);
});

test('paging back moves the hole until the start is reached', () => {
  const timeline = new Timeline();
  timeline.applyPage(page([8, 9], 9), { replace: true });
  assert.deepEqual(shape(timeline), ['hole', 8, 9]);
  assert.equal(timeline.items()[0].before, cursor(8));
  timeline.prependPage(page([5, 6, 7], 9));
  assert.deepEqual(shape(timeline), ['hole', 5, 6, 7, 8, 9]);
  timeline.prependPage(page([1, 2, 4], 9, { reachesStart: true }));
  assert.deepEqual(shape(timeline), [1, 2, 4, 5, 6, 7, 8, 9]);
});

test('a page closes the hole behind it and no other', () => {
  const timeline = new Timeline();
  timeline.applyPage(page([10, 11], 11), { replace: true });
  timeline.applyPage(page([40, 41], 41), { hole: { after: cursor(11), before: cursor(40) } });
  timeline.prependPage(page([8, 9], 41));
  assert.deepEqual(shape(timeline), ['hole', 8, 9, 10, 11, 'hole', 40, 41]);
});

test('an empty page at the start closes the last hole', () => {
  const timeline = new Timeline();
  timeline.applyPage(page([8, 9], 9), { replace: true });
  timeline.prependPage(page([], 9, { reachesStart: true }));
  assert.deepEqual(shape(timeline), [8, 9]);
});

test('a hole in the middle closes when a page meets the older part', () => {
  const timeline = new Timeline();
  timeline.applyPage(page([1, 2, 3], 3, { reachesStart: true }), { replace: true });
  timeline.applyPage(page([20, 21], 21), { hole: { after: cursor(3), before: cursor(20) } });
  assert.deepEqual(shape(timeline), [1, 2, 3, 'hole', 20, 21]);
  timeline.prependPage(page([10, 11], 21));
  assert.deepEqual(shape(timeline), [1, 2, 3, 'hole', 10, 11, 20, 21]);
  timeline.prependPage(page([2, 3, 9], 21));
  assert.deepEqual(shape(timeline), [1, 2, 3, 9, 10, 11, 20, 21]);
});

test('joins, leaves and custom entries have their place among the messages', () => {
  const timeline = filled(entry(4), entry(1, { kind: 'join', user: 'cy' }), entry(3, { kind: 'leave', user: 'cy' }), entry(2, { kind: 'custom', name: 'poll', json: {} }), entry(5, { kind: 'of-tomorrow' }));
  assert.deepEqual(timeline.items().map(({ kind }) => kind), ['join', 'custom', 'leave', 'chat']);
});

test('items is the same list until something changes, and its items may be kept', () => {
  const timeline = filled(entry(1), react(2, 'm1', 'bob', '👍'));
  const items = timeline.items();
  assert.equal(timeline.items(), items);
  timeline.applyEntry(react(3, 'm1', 'cy', '👍'));
  assert.notEqual(timeline.items(), items);
  assert.equal(items[0].reactions[0].count, 1);
});

test('a reaction that comes before the older page it belongs to is kept, also of a part that was shortened', () => {
  for (const shortened of [false, true]) {
    const span = new Span(page([100], 100));
    for (let seq = 101; seq <= 400; seq++) span.applyEntry(entry(seq));
    if (shortened) span.dropOldest();
    const { seq: oldest } = span.oldest;
    // The log was read at 400; before the answer comes, somebody reacts.
    span.applyEntry(react(401, `m${oldest - 1}`, 'cy', '👍'));
    span.prepend(page([oldest - 2, oldest - 1], 400));
    const [, item] = span.items();
    assert.deepEqual(item.reactions, [{ key: '👍', count: 1, users: ['cy'] }], `shortened: ${shortened}`);
  }
});

test('a part that was shortened knows what it has folded in', () => {
  const span = new Span(page([1, 2], 2));
  span.applyEntry(react(3, 'm2', 'cy', '👍'));
  span.applyEntry(react(4, 'm2', 'cy', '👍', 'remove'));
  span.dropOldest(1);
  // A page from before the second change says less.
  span.prepend(page([], 3, { entries: [entry(1), entry(2, { reactions: [{ key: '👍', count: 1, users: ['cy'] }] })] }));
  assert.deepEqual(span.items().map(({ seq, reactions }) => [seq, reactions]), [[1, undefined], [2, undefined]]);
});

test('who is only counted and takes the reaction back is counted no more, and whoever came and went never was', () => {
  const counted = (...later) => {
    const timeline = new Timeline();
    const message = entry(1, { reactions: [{ key: '👍', count: 3, users: ['ann', 'bob'] }] });
    timeline.applyPage({ entries: [message], reachesStart: true, cursor: cursor(9), seq: 9 }, { replace: true });
    for (const each of later) timeline.applyEntry(each);
    return timeline.items()[0].reactions.map(({ count, users }) => [count, ...users])[0];
  };
  assert.deepEqual(counted(react(10, 'm1', 'zoe', '👍', 'remove')), [2, 'ann', 'bob']);
  assert.deepEqual(counted(react(10, 'm1', 'zoe', '👍', 'remove'), react(11, 'm1', 'zoe', '👍')), [3, 'ann', 'bob', 'zoe']);
  assert.deepEqual(counted(react(11, 'm1', 'cy', '👍', 'remove'), react(10, 'm1', 'cy', '👍')), [3, 'ann', 'bob'], 'cy was not among them');
  assert.deepEqual(counted(react(10, 'm1', 'bob', '👍', 'remove'), react(11, 'm1', 'bob', '👍', 'remove')), [2, 'ann']);
});

test('a message of one\'s own that is stored among the missed ones is no longer on its way', () => {
  for (const order of ['confirmed before the page', 'confirmed after it']) {
    const span = new Span(page([1], 1, { reachesStart: true }));
    span.addPending({ clientId: 'mine', sender: 'ann', text: 'hi' });
    span.addPending({ clientId: 'next', sender: 'ann', text: 'more' });
    const confirm = (part) => part.confirm('mine', { id: 'm2', cursor: cursor(2), seq: 2 });
    if (order.includes('before')) assert.equal(confirm(span), false, 'its entry is about to come');
    const far = new Span(page([4999, 5000], 5000));
    far.adopt(span.pending());
    if (order.includes('after')) assert.equal(confirm(far), true);
    assert.deepEqual(shape(far), [4999, 5000, 'more'], order);
    // The other one is stored behind all that was seen, also of a part that was shortened.
    far.dropOldest(1);
    assert.equal(far.confirm('next', { id: 'm5001', cursor: cursor(5001), seq: 5001 }), false);
    assert.deepEqual(shape(far), [5000, 'more']);
    far.applyEntry(entry(5001, { sender: 'ann', clientId: 'next' }));
    assert.deepEqual(shape(far), [5000, 5001]);
  }
});
