// Two browsers and a cut connection: nothing is lost, nothing comes twice, and both pages show one order.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { Person } from './person.mjs';
import { startProxy } from './proxy.mjs';
import { startServer } from './server.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
let server;
let browser;

before(async () => {
  assert.ok(existsSync(executablePath), `no Chromium at ${executablePath}: install Debian's package chromium, or set CHROMIUM`);
  mkdirSync(new URL('out', import.meta.url), { recursive: true });
  server = await startServer();
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});

after(async () => {
  await browser?.close();
  if (server) assert.equal(await server.stop(), 0, 'the server ends cleanly');
});

/** Waits until `read` gives what `wanted` accepts. */
async function until(what, read, wanted, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await read();
    if (wanted(value)) return value;
    if (Date.now() > end) assert.fail(`${what}: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const texts = (messages) => messages.map((message) => message.text);

test('two people chat, with typing, presence and the other one’s messages at once', async () => {
  const ann = await Person.signIn(browser, server.url, 'Ann');
  const bob = await Person.signIn(browser, server.url, 'Bob');
  await ann.say('Hello Bob');
  await bob.sees('Hello Bob');
  await bob.page.getByTestId('composer').pressSequentially('Hi', { delay: 30 });
  await ann.page.getByTestId('typing').filter({ hasText: 'Bob' }).waitFor();
  await bob.say('Hi Ann');
  await ann.sees('Hi Ann');
  await ann.page.locator('[data-testid=member][data-online=true]').filter({ hasText: 'Bob' }).first().waitFor();
  assert.deepEqual([...ann.problems, ...bob.problems], []);
  await ann.page.context().close();
  await bob.page.context().close();
});

test('a cut connection loses nothing and doubles nothing', async () => {
  const proxy = await startProxy(server.port);
  const cy = await Person.signIn(browser, proxy.url, 'Cy');
  const di = await Person.signIn(browser, server.url, 'Di');
  await cy.say('before the cut');
  await di.sees('before the cut');

  proxy.cut();
  await cy.page.locator('[data-testid=connection]:not([data-state=connected])').waitFor();
  await cy.shot('reconnecting');
  for (let n = 1; n <= 30; n += 1) await di.say(`while away ${n}`);
  for (let n = 1; n <= 3; n += 1) await cy.say(`into the void ${n}`);
  await di.sees('while away 30');
  assert.ok(!texts(await di.messages()).some((text) => text.includes('into the void')));

  proxy.mend();
  await cy.connected();
  const wanted = [
    ...Array.from({ length: 30 }, (_, n) => `while away ${n + 1}`),
    ...Array.from({ length: 3 }, (_, n) => `into the void ${n + 1}`),
  ];
  const complete = (messages) => wanted.every((text) => texts(messages).includes(text)) && messages.every((message) => message.seq > 0);
  const [atCy, atDi] = await Promise.all([
    until('everything on the cut page', () => cy.messages(), complete),
    until('everything on the other page', () => di.messages(), complete),
  ]);
  for (const messages of [atCy, atDi]) {
    const ours = messages.filter((message) => wanted.includes(message.text));
    assert.equal(ours.length, wanted.length, 'each once');
    assert.deepEqual(messages.map((message) => message.seq), messages.map((message) => message.seq).toSorted((a, b) => a - b));
  }
  const shared = (messages) => messages.filter((message) => wanted.includes(message.text)).map(({ seq, text }) => ({ seq, text }));
  assert.deepEqual(shared(atCy), shared(atDi), 'one order on both pages');

  await cy.page.reload();
  await cy.connected();
  await cy.sees('into the void 3');
  const again = await until('everything after a reload', () => cy.messages(), complete);
  assert.deepEqual(shared(again), shared(atDi), 'and after a reload');
  assert.deepEqual([...cy.problems, ...di.problems], []);
  await cy.page.context().close();
  await di.page.context().close();
  await proxy.stop();
});

test('messages can be edited, deleted and reacted to, and others see it', async () => {
  const eve = await Person.signIn(browser, server.url, 'Eve');
  const fay = await Person.signIn(browser, server.url, 'Fay');
  await eve.say('first version');
  await fay.sees('first version');
  const own = eve.page.getByTestId('message').filter({ hasText: 'first version' });
  await own.hover();
  await own.getByTestId('edit').click();
  await eve.page.getByTestId('edit-field').fill('second version');
  await eve.page.getByTestId('edit-save').click();
  await fay.sees('second version');
  const other = fay.page.getByTestId('message').filter({ hasText: 'second version' });
  await other.hover();
  await other.getByTestId('react').click();
  await fay.page.getByTestId('pick').first().click();
  await eve.page.getByTestId('reaction').first().waitFor();
  const edited = eve.page.getByTestId('message').filter({ hasText: 'second version' });
  await edited.hover();
  await edited.getByTestId('delete').click();
  await eve.page.getByTestId('confirm').click();
  await until('the deleted text', () => fay.messages(), (messages) => !texts(messages).includes('second version'));
  assert.deepEqual([...eve.problems, ...fay.problems], []);
  await eve.page.context().close();
  await fay.page.context().close();
});

test('a room of one’s own, an invitation, and a badge for what is unread', async () => {
  const gil = await Person.signIn(browser, server.url, 'Gil');
  const hal = await Person.signIn(browser, server.url, 'Hal');
  await gil.page.getByTestId('create-room').click();
  await gil.page.getByTestId('room-name-field').fill('Quiet corner');
  await gil.page.getByTestId('room-name-submit').click();
  const room = gil.page.getByTestId('room-item').filter({ hasText: 'Quiet corner' });
  await room.waitFor();
  await gil.page.getByTestId('invite-user').click();
  await gil.page.getByTestId('invite-field').fill(await hal.user());
  await gil.page.getByTestId('invite-submit').click();
  const invited = hal.page.getByTestId('room-item').filter({ hasText: 'Quiet corner' });
  await invited.waitFor();
  await gil.say('are you there?');
  await until('the badge', () => invited.getAttribute('data-unread'), (unread) => Number(unread) > 0);
  await hal.shot('unread');
  await invited.click();
  await hal.sees('are you there?');
  await until('the badge, read', () => invited.getAttribute('data-unread'), (unread) => Number(unread ?? 0) === 0);
  assert.deepEqual([...gil.problems, ...hal.problems], []);
  await gil.page.context().close();
  await hal.page.context().close();
});

test('the page in light, dark and on a phone', async () => {
  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { colorScheme: 'light', viewport: { width: 390, height: 780 } }],
  ]) {
    const person = await Person.signIn(browser, server.url, 'Iris', options);
    await person.say(`A look at ${name}: 👋🏽 שלום ${'long'.repeat(30)}`);
    await person.sees(`A look at ${name}`);
    const overflows = await person.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.ok(!overflows, `${name} does not scroll sideways`);
    await person.shot(name);
    assert.deepEqual(person.problems, []);
    await person.page.context().close();
  }
});
