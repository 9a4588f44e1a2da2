// The clients over a plain WebSocket and over every transport that sockjs-client has in Node.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { within } from '../server.mjs';
import { Stage, WAYS } from './stage.mjs';

let stage;
before(async () => (stage = await Stage.start()));
after(() => stage.end());

for (const [index, way] of WAYS.entries()) {
  test(`${way}: what is said is heard by all, in one order`, async () => {
    const users = [10, 11].map((user) => user + 10 * index);
    const room = await stage.room(...users);
    const one = await stage.person(users[0], { way });
    const other = await stage.person(users[1], { way: 'plain' });
    for (const person of [one, other]) await person.follow(room);
    for (let i = 0; i < 8; i += 1) {
      assert.equal(await one.say(room, `한글 ${i}`), true);
      assert.equal(await other.say(room, `hello ${i}`), true);
    }
    const heard = await one.hears(16);
    assert.deepEqual(await other.hears(16), heard);
    assert.deepEqual(heard.map(({ messageId }) => messageId), Array.from({ length: 16 }, (_, i) => i + 1));
    assert.deepEqual(heard.filter(({ senderId }) => senderId === users[0]).map(({ content }) => content).at(-1), '한글 7');
  });

  test(`${way}: a refusal is told on the user's queue, and a bad token ends the connection`, async () => {
    const user = 500 + index;
    const room = await stage.room(user);
    const person = await stage.person(user, { way });
    const refused = await person.say(room, 'not me', { senderId: 1 });
    assert.equal(refused.code, 'forbidden');
    assert.equal(await person.say(room, 'me'), true, 'the connection goes on');
    await assert.rejects(stage.person(user, { way, token: 'nonsense' }), { code: 'unauthenticated' });
  });
}

test('without WebSockets in between sockjs-client falls back by itself, and the info says what there is', async () => {
  const info = await within(10_000, 'the info', fetch(`${stage.servers[0].url}/ws-chat/info`));
  const said = await info.json();
  assert.equal(said.websocket, true);
  assert.deepEqual([said.cookie_needed, said.origins], [false, ['*:*']]);
});
