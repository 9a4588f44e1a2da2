// Two instances: what is said on one is heard on the other, and the end of one under load loses nothing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { until } from '../server.mjs';
import { Person, Stage } from './stage.mjs';

let stage;
before(async () => (stage = await Stage.start({ instances: 2 })));
after(() => stage.end());

test('instances are one system', async () => {
  const room = await stage.room(1, 2);
  const [here, there] = [await stage.person(1, { at: 0 }), await stage.person(2, { at: 1, way: 'xhr-streaming' })];
  for (const person of [here, there]) await person.follow(room);
  for (let i = 1; i <= 20; i += 1) {
    assert.equal(await here.say(room, `m${i}`), true);
    const unread = await stage.ask('GET', `/rooms/${room}/unread`, { user: 2, at: 1 });
    assert.equal(unread.body.unreadCount, i, 'right at once on the other instance');
  }
  assert.deepEqual(await there.hears(20), await here.hears(20));
  assert.equal((await stage.ask('POST', `/rooms/${room}/read`, { user: 2, at: 0 })).body.unreadCount, 0);
  assert.equal((await stage.ask('GET', `/rooms/${room}/unread`, { user: 2, at: 1 })).body.unreadCount, 0);
  await stage.ask('POST', `/rooms/${room}/leave`, { user: 2, at: 0 });
  await until('the removal on the other instance', () => there.refusals.some(({ code }) => code === 'not_a_member'), 5_000);
});

const EACH = 150;

test('kill -9 of one under load: nothing is lost, nothing doubled, one order', async () => {
  const writers = [1, 2, 3, 4];
  const room = await stage.room(...writers, 5, 6);
  const urls = stage.servers.map(({ url }) => url);
  const [dying] = stage.servers;

  /** Says all of it, again and elsewhere where it is not known whether it was taken. */
  async function write(user, from) {
    let at = from;
    let person = await Person.connect(urls[at], user);
    for (let i = 1; i <= EACH;) {
      const answer = await person.say(room, `${user}-${i}`, { clientMsgId: `${user}-${i}` });
      if (answer === true) {
        i += 1;
      } else if (answer === undefined) {
        at = 1;
        person = await Person.connect(urls[at], user);
      }
    }
    stage.people.push(person);
  }

  const dies = await Person.connect(urls[0], 5);
  const stays = await stage.person(6, { at: 1 });
  for (const person of [dies, stays]) await person.follow(room);
  const writing = Promise.all(writers.map((user, index) => write(user, index % 2)));
  await stays.hears(EACH);
  await dying.kill();
  stage.servers.shift();
  await dies.closed;
  const back = await stage.person(5, { at: 0 });
  await back.follow(room, dies.cursor);
  await writing;

  const total = writers.length * EACH;
  const truth = await stage.history(room, 6);
  assert.equal(truth.length, total);
  assert.equal(new Set(truth.map(({ content }) => content)).size, total, 'nothing doubled');
  assert.deepEqual(truth.map(({ messageId }) => messageId), Array.from({ length: total }, (_, i) => i + 1));
  for (const user of writers) {
    const said = truth.filter(({ senderId }) => senderId === user).map(({ content }) => content);
    assert.deepEqual(said, Array.from({ length: EACH }, (_, i) => `${user}-${i + 1}`), 'as they were sent');
  }
  assert.deepEqual(await stays.hears(total), truth, 'who stayed heard all of it');
  await back.hears(total - dies.heard.length);
  assert.deepEqual([...dies.heard, ...back.heard], truth, 'who came back too, with no seam');
  assert.ok(dies.heard.length > 0 && back.heard.length > 0);
});
