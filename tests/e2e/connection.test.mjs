// A connection that breaks, falls behind, or is ended: nothing is lost, nothing comes twice, and one is told in words.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { command, fill, guest, guests, post, rest } from './crowd.mjs';
import { Person } from './person.mjs';
import { startProxy } from './proxy.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage({ serverOptions: ['--room-rate', '20000'] });

test('a cut connection loses nothing and doubles nothing', async (t) => {
  const proxy = await startProxy(shared.server.port);
  t.after(() => proxy.stop());
  const cy = await Person.signIn(shared.browser, proxy.url, 'Cy');
  const di = await shared.person('Di');
  await cy.say('before the cut');
  await di.sees('before the cut');

  proxy.cut();
  await cy.disconnected();
  const countdown = cy.page.getByTestId('connection-text');
  await until('a countdown', () => countdown.textContent(), (text) => /Trying again in \d+ s/.test(text));
  await cy.shot('reconnecting');
  for (let n = 1; n <= 25; n += 1) await di.say(`while away ${n}`);
  for (let n = 1; n <= 3; n += 1) await cy.say(`into the void ${n}`);
  await di.sees('while away 25');
  assert.ok(!(await di.texts()).some((text) => text.includes('into the void')));
  assert.equal(await cy.page.locator('[data-testid=message][data-state=sending]').count(), 3);

  proxy.mend();
  await cy.page.getByRole('button', { name: 'Try now' }).click({ timeout: 2_000 }).catch(() => {});
  await cy.connected();
  const wanted = [
    ...Array.from({ length: 25 }, (_, n) => `while away ${n + 1}`),
    ...Array.from({ length: 3 }, (_, n) => `into the void ${n + 1}`),
  ];
  const complete = (messages) => wanted.every((text) => messages.some((message) => message.text === text)) && messages.every(({ seq }) => seq > 0);
  const [atCy, atDi] = await Promise.all([
    until('everything on the cut page', () => cy.messages(), complete),
    until('everything on the other page', () => di.messages(), complete),
  ]);
  const ours = (messages) => messages.filter(({ text }) => wanted.includes(text)).map(({ seq, text }) => ({ seq, text }));
  for (const messages of [atCy, atDi]) {
    assert.equal(ours(messages).length, wanted.length, 'each once');
    assert.deepEqual(messages.map(({ seq }) => seq), messages.map(({ seq }) => seq).toSorted((a, b) => a - b));
  }
  assert.deepEqual(ours(atCy), ours(atDi), 'one order on both pages');

  await cy.page.reload();
  await cy.connected();
  const again = await until('everything after a reload', () => cy.messages(), complete);
  assert.deepEqual(ours(again), ours(atDi), 'and after a reload');
  await goodbye(cy, di);
});

test('after a long absence the page begins anew from the newest, and who reads further up stays there', async (t) => {
  const { url, port } = shared.server;
  const proxy = await startProxy(port);
  t.after(() => proxy.stop());
  const writers = await guests(url, 45);
  const written = await fill(url, writers, 'lobby', 120, (n) => `early ${n}`);
  const low = await Person.signIn(shared.browser, proxy.url, 'Low');
  const high = await Person.signIn(shared.browser, proxy.url, 'High');
  await low.sees('early 120');
  const place = await readUp(high);

  proxy.cut();
  await Promise.all([low.disconnected(), high.disconnected()]);
  // More than the server replays.
  await fill(url, writers, 'lobby', 1_100, (n) => `late ${n}`);
  const { user } = written.find(({ id }) => id === place.id);
  await edit(url, writers.find((writer) => writer.user === user), place.id, 'changed while away');
  proxy.mend();
  await Promise.all([low.connected(), high.connected()]);

  await low.sees('late 1100');
  assert.ok(!(await low.texts()).includes('early 120'), 'what lies before the hole is not shown as if it were next');
  await high.page.getByTestId('jump-down').waitFor();
  await high.message('changed while away').waitFor();
  const now = await top(high, place.seq);
  assert.ok(Math.abs(now - place.top) < 100, `the place moved from ${place.top} to ${now}`);
  await high.page.getByTestId('jump-down').click();
  await high.sees('late 1100');
  await goodbye(low, high);
});

/** Scrolls up and gives the first message in sight. */
async function readUp(person) {
  await person.sees('early 120');
  await person.page.getByTestId('history').hover();
  for (let n = 0; n < 3; n += 1) {
    await person.page.mouse.wheel(0, -500);
    await person.page.waitForTimeout(150);
  }
  return person.page.evaluate(() => {
    const y = document.querySelector('[data-testid=history]').getBoundingClientRect().top;
    const row = [...document.querySelectorAll('[data-testid=message]')].find((node) => node.getBoundingClientRect().top > y);
    return { seq: row.dataset.seq, id: row.dataset.id, top: row.getBoundingClientRect().top };
  });
}

function top(person, seq) {
  return person.page.locator(`[data-testid=message][data-seq="${seq}"]`).evaluate((row) => row.getBoundingClientRect().top);
}

async function edit(url, writer, target, text) {
  const page = await shared.browser.newPage();
  await page.goto(`${url}/icon.svg`);
  await command(page, writer, [{ type: 'edit', room: 'lobby', clientId: `edit-${target}`, target, text }]);
  await page.close();
}

test('a server that falls behind, and one that lost notices, are caught up with', async () => {
  let serverSide;
  const prepare = (page) => page.routeWebSocket(/\/chat\/ws/, (route) => {
    const server = route.connectToServer();
    route.onMessage((message) => server.send(message));
    server.onMessage((message) => route.send(message));
    serverSide = { route, server };
  });
  const eve = await shared.person('Eve', { prepare });
  const { url } = shared.server;
  await eve.createRoom('Behind');
  const session = await eve.session();
  const [room] = (await (await rest(url, session, 'GET', '/rooms')).json()).rooms.filter(({ room: { metadata } }) => metadata.name === 'Behind');
  await eve.say('known');
  await until('known', () => eve.messages(), (messages) => messages.some(({ seq, text }) => seq > 0 && text === 'known'));

  // What the server sends is swallowed, and then told as a page.
  serverSide.server.onMessage(() => {});
  await post(url, session, room.room.id, 'swallowed', 'told as a page');
  const page = await (await rest(url, session, 'GET', `/rooms/${room.room.id}/messages?limit=20`)).json();
  assert.ok(!(await eve.texts()).includes('told as a page'));
  serverSide.server.onMessage((message) => serverSide.route.send(message));
  serverSide.route.send(JSON.stringify({ type: 'resync', room: room.room.id, hole: { after: page.entries[0].cursor, before: page.cursor }, page, cursor: page.cursor }));
  await eve.sees('told as a page');
  assert.deepEqual((await eve.texts()).filter((text) => text === 'known').length, 1);
  await eve.say('goes on');
  await until('goes on', () => eve.messages(), (messages) => messages.at(-1).text === 'goes on' && messages.at(-1).seq > 0);

  // A member and a name that were not told of are there after `noticesLost`.
  const fay = await guest(url, 'Fay');
  serverSide.server.onMessage(() => {});
  await rest(url, session, 'PUT', `/rooms/${room.room.id}/members/${encodeURIComponent(fay.user)}`, {});
  await rest(url, session, 'PATCH', `/rooms/${room.room.id}`, { metadata: { name: 'Caught up' } });
  await eve.page.waitForTimeout(200);
  assert.equal(await eve.page.locator('[data-testid=member]').filter({ hasText: 'Fay' }).count(), 0);
  serverSide.server.onMessage((message) => serverSide.route.send(message));
  serverSide.route.send(JSON.stringify({ type: 'noticesLost' }));
  await eve.page.locator('[data-testid=member]').filter({ hasText: 'Fay' }).waitFor();
  await eve.page.locator('.room-title').filter({ hasText: 'Caught up' }).waitFor();
  await goodbye(eve);
});

test('who is connected too often is told so in words, and may connect again', async () => {
  const gil = await shared.person('Gil');
  const { token } = await gil.session();
  const other = await shared.browser.newPage();
  await other.goto(`${shared.server.url}/icon.svg`);
  await other.evaluate(async (credentials) => {
    window.sockets = [];
    for (let n = 0; n < 16; n += 1) {
      const socket = new WebSocket(`ws://${location.host}/chat/ws`);
      await new Promise((resolve) => (socket.onopen = resolve));
      socket.send(JSON.stringify({ type: 'connect', id: 1, token: credentials }));
      await new Promise((resolve) => (socket.onmessage = resolve));
      window.sockets.push(socket);
    }
  }, token);
  const text = gil.page.getByTestId('connection-text');
  await until('the words', () => text.textContent(), (words) => /too many places/.test(words), 10_000);
  await gil.shot('replaced');
  await other.close();
  await gil.page.getByRole('button', { name: 'Connect again' }).click();
  await gil.connected();
  await gil.say('back again');
  await until('back again', () => gil.messages(), (messages) => messages.some((message) => message.text === 'back again' && message.seq > 0));
  await goodbye(gil);
});

test('what the server refuses is said in words, beside what it is about', async () => {
  const { url } = shared.server;
  const owner = await guest(url, 'Owner');
  const hal = await shared.person('Hal');
  const user = encodeURIComponent(await hal.user());
  const { id } = await (await rest(url, owner, 'POST', '/rooms', { metadata: { name: 'Strict' } })).json();
  await rest(url, owner, 'PUT', `/rooms/${id}/members/${user}`, {});
  await hal.room('Strict').click();
  await hal.say('allowed');
  await until('allowed', () => hal.messages(), (messages) => messages.some(({ seq, text }) => seq > 0 && text === 'allowed'));
  await rest(url, owner, 'PATCH', `/rooms/${id}`, { active: false });
  await until('closed', () => hal.page.getByTestId('composer').getAttribute('placeholder'), (text) => /closed/.test(text));
  await rest(url, owner, 'PATCH', `/rooms/${id}`, { active: true });
  await until('open', () => hal.page.getByTestId('composer').getAttribute('placeholder'), (text) => /Message/.test(text));
  // Whoever may only read is told so, and offered nothing else.
  await rest(url, owner, 'PUT', `/rooms/${id}/members/${user}`, { role: 'reader' });
  await until('read only', () => hal.page.getByTestId('composer').getAttribute('placeholder'), (text) => /only read/.test(text));
  await hal.message('allowed').hover();
  assert.equal(await hal.page.getByTestId('edit').count(), 0);
  await goodbye(hal);
});

test('a message that was refused says why, and can be sent again or given up', async () => {
  let refuse = true;
  const prepare = (page) => page.routeWebSocket(/\/chat\/ws/, (route) => {
    const server = route.connectToServer();
    route.onMessage((message) => {
      const frame = JSON.parse(message);
      if (frame.type !== 'send' || !refuse) server.send(message);
      else route.send(JSON.stringify({ type: 'error', reply: frame.id, code: 'rejected', message: 'no', retryable: false, room: frame.room, clientId: frame.clientId }));
    });
  });
  const ivy = await shared.person('Ivy', { prepare });
  await ivy.say('first try');
  const failed = ivy.page.locator('[data-testid=message][data-state=failed]');
  await failed.filter({ hasText: 'This message was not accepted.' }).waitFor();
  await ivy.page.locator('#announcements').filter({ hasText: 'was not sent' }).waitFor({ state: 'attached' });
  await ivy.shot('refused');
  await ivy.say('given up');
  await until('two failed', () => failed.count(), (count) => count === 2);
  await failed.filter({ hasText: 'given up' }).getByTestId('discard').click();
  await until('one failed', () => failed.count(), (count) => count === 1);
  assert.equal(await ivy.focus(), 'message', 'the focus goes to the message before it');
  refuse = false;
  await failed.getByTestId('retry').click();
  await until('sent', () => ivy.messages(), (messages) => messages.some(({ seq, text }) => seq > 0 && text === 'first try'));
  await goodbye(ivy);
});

test('what was written without a connection is sent after a reload, once', async () => {
  let down = false;
  let current;
  const prepare = (page) => page.routeWebSocket(/\/chat\/ws/, (route) => {
    if (down) {
      route.close();
      return;
    }
    const server = route.connectToServer();
    current = { close: () => Promise.all([route.close(), server.close()]) };
  });
  const joe = await shared.person('Joe', { prepare });
  down = true;
  await current.close();
  await joe.disconnected();
  await joe.say('kept over a reload');
  await joe.page.reload();
  await joe.disconnected();
  down = false;
  await joe.connected();
  const found = (messages) => messages.filter(({ seq, text }) => seq > 0 && text === 'kept over a reload').length;
  await until('sent', () => joe.messages(), (messages) => found(messages) > 0);
  await joe.page.waitForTimeout(500);
  assert.equal(found(await joe.messages()), 1);
  await goodbye(joe);
});
