// Two people talk: what one writes the other sees at once, is told of once, and knows to be new, seen and in order.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { guest, post, rest } from './crowd.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage();

test('two people chat, with typing, presence and the other one’s messages at once', async () => {
  const [ann, bob] = [await shared.person('Ann'), await shared.person('Bob')];
  await ann.say('Hello Bob');
  await bob.sees('Hello Bob');
  await bob.page.getByTestId('composer').pressSequentially('Hi', { delay: 30 });
  await ann.page.getByTestId('typing').filter({ hasText: 'Bob' }).waitFor();
  await bob.say('Hi Ann');
  await ann.sees('Hi Ann');
  await ann.page.locator('[data-testid=member][data-online=true]').filter({ hasText: 'Bob' }).first().waitFor();
  await goodbye(ann, bob);
});

test('who has seen one’s message stands under it', async () => {
  const [ann, bob] = [await shared.person('Ann'), await shared.person('Bob')];
  await ann.createRoom('Receipts');
  await ann.invite(await bob.user());
  await ann.say('one');
  await ann.say('two');
  await ann.sees('two');
  assert.equal(await ann.page.getByTestId('seen').count(), 0);
  const selection = () => ann.page.evaluate(() => getSelection().toString());
  await ann.message('two').locator('.mark[aria-label=sent]').waitFor();
  await ann.message('two').getByTestId('message-text').evaluate((text) => getSelection().selectAllChildren(text));
  assert.equal(await selection(), 'two');
  await bob.room('Receipts').click();
  await bob.sees('two');
  const seen = ann.message('two').getByTestId('seen');
  await seen.waitFor();
  assert.match(await seen.textContent(), /^Seen by .?Bob/);
  assert.equal(await selection(), 'two', 'what is selected in a message stays so');
  // Bob turns to another room; what is written meanwhile is not seen yet.
  await bob.room('Lobby').click();
  await ann.say('three');
  await ann.sees('three');
  await ann.page.waitForTimeout(300);
  assert.equal(await ann.message('three').getByTestId('seen').count(), 0);
  assert.equal(await ann.message('two').getByTestId('seen').count(), 1);
  await bob.room('Receipts').click();
  await ann.message('three').getByTestId('seen').waitFor();
  assert.equal(await ann.page.getByTestId('seen').count(), 1, 'one line for all');
  // And it is known after a reload, too.
  await ann.page.reload();
  await ann.room('Receipts').click();
  await ann.message('three').getByTestId('seen').waitFor();
  await goodbye(ann, bob);
});

test('a line stands above what is new, and stays right while messages come, change and go', async () => {
  const [ann, bob] = [await shared.person('Ann'), await shared.person('Bob')];
  await ann.createRoom('Divided');
  await ann.invite(await bob.user());
  await bob.room('Divided').click();
  await ann.say('old');
  await bob.sees('old');
  await bob.room('Lobby').click();
  for (const text of ['new one', 'new two', 'new three']) await ann.say(text);
  await until('the badge', () => bob.room('Divided').getAttribute('data-unread'), (unread) => unread === '3');
  const below = () => bob.page.evaluate(() => {
    const line = document.querySelector('[data-testid=unread-divider]');
    return [document.querySelectorAll('[data-testid=unread-divider]').length, line?.nextElementSibling.querySelector('[data-testid=message-text]')?.textContent];
  });
  // After a reload the line is found by what the server knows.
  await bob.page.reload();
  await bob.connected();
  await bob.room('Divided').click();
  await bob.sees('new three');
  assert.deepEqual(await until('the line', below, ([count]) => count === 1), [1, 'new one']);
  await until('the badge, read', () => bob.room('Divided').getAttribute('data-unread'), (unread) => unread === '0');
  await ann.say('even newer');
  await bob.sees('even newer');
  assert.deepEqual(await below(), [1, 'new one'], 'it does not move while one reads on');
  await ann.message('new one').hover();
  await ann.page.getByTestId('delete').click();
  await ann.page.getByTestId('confirm').click();
  await until('the delete', below, ([, text]) => text === 'Message deleted');
  assert.deepEqual((await below())[0], 1);
  // Somebody who answers has taken notice.
  await bob.say('an answer');
  await bob.sees('an answer');
  assert.deepEqual(await until('no line', below, ([count]) => count === 0), [0, undefined]);
  await goodbye(ann, bob);
});

test('who was away for long is led to the first of many new messages', async () => {
  const { url } = shared.server;
  const [ann, bob] = [await shared.person('Ann'), await shared.person('Bob')];
  await ann.createRoom('Busy');
  await ann.invite(await bob.user());
  const session = await ann.session();
  const { rooms } = await (await rest(url, session, 'GET', '/rooms')).json();
  const { id } = rooms.map(({ room }) => room).find(({ metadata }) => metadata.name === 'Busy');
  await bob.room('Busy').click();
  await ann.say('seen before');
  await bob.sees('seen before');
  await bob.room('Lobby').click();
  for (let n = 1; n <= 90; n += 1) await post(url, session, id, `m-${n}`, `missed ${n}`);
  await until('the badge', () => bob.room('Busy').getAttribute('data-unread'), (unread) => unread === '90');
  await bob.page.reload();
  await bob.connected();
  await bob.room('Busy').click();
  await bob.sees('missed 90');
  await bob.page.getByTestId('jump-unread').click();
  const first = bob.page.getByTestId('message').filter({ hasText: /missed 1\d\d:/ });
  await first.waitFor();
  await until('its focus', () => first.evaluate((row) => row === document.activeElement), Boolean);
  assert.equal(await bob.page.getByTestId('unread-divider').evaluate((line) => line.nextElementSibling === document.activeElement), true);
  assert.equal(await bob.page.getByTestId('jump-unread').isVisible(), false);
  await goodbye(ann, bob);
});

test('each day has its heading, once', async () => {
  const ann = await shared.person('Ann');
  await ann.say('today');
  await ann.sees('today');
  assert.deepEqual(await ann.page.getByTestId('day-separator').allTextContents(), ['Today']);
  // The page is left open over midnight.
  await ann.page.clock.install({ time: Date.now() + 24 * 3_600_000 });
  await ann.page.reload();
  await ann.connected();
  await ann.sees('today');
  assert.deepEqual(await ann.page.getByTestId('day-separator').allTextContents(), ['Yesterday']);
  await goodbye(ann);
});

test('a new message is told to screen readers exactly once, and scrolling tells nothing', async () => {
  const ann = await shared.person('Ann');
  const bob = await guest(shared.server.url, 'Bob');
  await ann.page.evaluate(() => {
    window.told = [];
    const live = '[aria-live]:not([aria-live=off]), [role=log], [role=status], [role=alert]';
    new MutationObserver((changes) => {
      for (const { addedNodes, target } of changes) {
        for (const node of addedNodes) if ((node.parentElement ?? target).closest(live)) window.told.push(node.textContent);
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  await post(shared.server.url, bob, 'lobby', 'a', 'listen to this');
  await ann.sees('listen to this');
  await ann.page.waitForTimeout(600);
  const told = (part) => ann.page.evaluate((text) => window.told.filter((line) => line.includes(text)).length, part);
  assert.equal(await told('listen to this'), 1);
  // The same words again are another message.
  await post(shared.server.url, bob, 'lobby', 'b', 'listen to this');
  await until('told again', () => told('listen to this'), (times) => times === 2, 5_000);
  // Many at once are counted, not read out.
  for (let n = 0; n < 12; n += 1) await post(shared.server.url, bob, 'lobby', `c-${n}`, `burst ${n}`);
  await ann.sees('burst 11');
  await ann.page.waitForTimeout(600);
  assert.ok((await told('new messages')) >= 1);
  const before = await ann.page.evaluate(() => window.told.length);
  await ann.page.getByTestId('history').hover();
  await ann.page.mouse.wheel(0, -5_000);
  await ann.page.waitForTimeout(300);
  assert.equal(await ann.page.evaluate(() => window.told.length), before);
  await goodbye(ann);
});

test('names and texts of every script are shown, each in its own direction', async () => {
  const sara = await shared.person('שרה לוי');
  const ann = await shared.person('Ann');
  await sara.say('שלום, Ann! 123');
  await sara.say('👩‍👩‍👧‍👦🏳️‍🌈');
  await ann.say('Hello, שרה!');
  const row = ann.message('שלום');
  await row.waitFor();
  assert.equal(await row.locator('.sender').textContent(), 'שרה לוי');
  assert.equal(await row.getByTestId('message-text').evaluate((text) => getComputedStyle(text).direction), 'rtl');
  assert.equal(await ann.message('Hello, ').getByTestId('message-text').evaluate((text) => getComputedStyle(text).direction), 'ltr');
  assert.equal(await row.locator('bdi').count(), 1, 'the name is kept apart from the text around it');
  assert.ok(await ann.page.locator('.only-emoji').count() > 0);
  assert.match(await ann.room('Lobby').textContent(), /\u2068|You/u);
  await ann.page.locator('[data-testid=member]').filter({ hasText: 'שרה לוי' }).first().waitFor();
  await goodbye(sara, ann);
});

test('the page in light, dark and on a phone', async () => {
  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
  ]) {
    const person = await shared.person('Iris', options);
    await person.say(`A look at ${name}: 👋🏽 שלום ${'long'.repeat(30)}`);
    await person.say('```\nlet code = "that is much too long for the width of a telephone, and scrolls within its own box";\n```');
    await person.sees(`A look at ${name}`);
    const overflows = await person.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.ok(!overflows, `${name} does not scroll sideways`);
    await person.shot(name);
    await goodbye(person);
  }
});
