// What one only notices when it is wrong: who is who, what is known without a connection, how things fit on every screen.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Person } from './person.mjs';
import { startProxy } from './proxy.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage();

test('two people of one name are told apart where they write', async () => {
  const [eve, other, finn] = [await shared.person('Eve'), await shared.person('eve'), await shared.person('Finn')];
  await eve.say('I am one');
  await other.say('I am another');
  await finn.say('and I am alone');
  await eve.sees('and I am alone');
  const tagOf = (text) => eve.message(text).locator('.sender .tag');
  const tag = (await other.user()).split('-').at(-1);
  assert.equal(await tagOf('I am another').textContent(), tag);
  assert.equal(await tagOf('and I am alone').count(), 0);
  await finn.sees('I am another');
  await finn.shot('namesakes');
  await goodbye(eve, other, finn);
});

test('without a connection nobody is shown as online or away', async (t) => {
  const proxy = await startProxy(shared.server.port);
  t.after(() => proxy.stop());
  const gus = await Person.signIn(shared.browser, proxy.url, 'Gus');
  const me = gus.page.locator(`[data-testid=member][data-user="${await gus.user()}"]`);
  await until('online', () => me.getAttribute('data-online'), (online) => online === 'true');
  proxy.cut();
  await gus.disconnected();
  await until('unknown', () => me.getAttribute('data-online'), (online) => online === 'unknown');
  assert.doesNotMatch(await gus.page.locator('.members-head h2').textContent(), /online/);
  assert.doesNotMatch(await gus.page.locator('.room-subtitle').textContent(), /online/);
  await gus.shot('presence-unknown');
  proxy.mend();
  await gus.connected();
  await until('online again', () => me.getAttribute('data-online'), (online) => online === 'true');
  await goodbye(gus);
});

test('a guest is asked before signing out for good', async () => {
  const ida = await shared.person('Ida');
  await ida.createRoom('Mine');
  await ida.page.getByTestId('sign-out').click();
  await ida.page.locator('dialog').filter({ hasText: 'Mine' }).waitFor();
  await ida.shot('sign-out');
  await ida.page.getByTestId('cancel').click();
  assert.ok(await ida.page.getByTestId('composer').isVisible());
  await ida.page.getByTestId('sign-out').click();
  await ida.page.getByTestId('confirm').click();
  await ida.page.getByTestId('signin-name').waitFor();
  await goodbye(ida);
});

test('whoever was invited sees in the list that they joined', async () => {
  const [jo, kim] = [await shared.person('Jo'), await shared.person('Kim')];
  await jo.createRoom('Invited');
  await jo.invite(await kim.user());
  const preview = (person) => person.room('Invited').locator('.room-preview').textContent();
  for (const person of [jo, kim]) await until('the preview', () => preview(person), (text) => /Kim.*joined/.test(text));
  await goodbye(jo, kim);
});

test('a deleted message looks deleted, and after a code block there is no empty line', async () => {
  const lee = await shared.person('Lee');
  await lee.createRoom('Looks');
  await lee.say('to be deleted');
  await lee.say('before\n```\ncode\n```\nafter');
  const code = lee.message('after').locator('.text');
  assert.equal(await code.evaluate((node) => node.lastChild.textContent), 'after');
  await lee.message('to be deleted').hover();
  await lee.page.getByTestId('delete').click();
  await lee.page.getByTestId('confirm').click();
  await lee.sees('Message deleted');
  const deleted = lee.message('Message deleted');
  assert.equal(await deleted.locator('.text').evaluate((node) => getComputedStyle(node).fontStyle), 'italic');
  const ground = (row) => row.locator('.bubble').evaluate((node) => getComputedStyle(node).backgroundColor);
  assert.equal(await ground(deleted), 'rgba(0, 0, 0, 0)');
  await lee.shot('deleted');
  await lee.page.emulateMedia({ colorScheme: 'dark' });
  await lee.shot('deleted-dark');
  await goodbye(lee);
});

test('the panel of people leaves when the window has no room for it beside the conversation', async () => {
  const mo = await shared.person('Mo');
  await mo.page.locator('[data-testid=member]').first().waitFor();
  await mo.page.setViewportSize({ width: 820, height: 800 });
  await mo.page.locator('.members').waitFor({ state: 'hidden' });
  await mo.page.getByTestId('show-members').click();
  await mo.page.locator('.members').waitFor();
  await mo.page.setViewportSize({ width: 1200, height: 800 });
  await mo.page.locator('.members').waitFor();
  await goodbye(mo);
});

test('on a very wide window the way to the newest message is beside the messages', async () => {
  const ned = await shared.person('Ned', { viewport: { width: 2560, height: 900 } });
  await ned.createRoom('Wide');
  for (let n = 1; n <= 30; n += 1) await ned.say(`line ${n}`);
  await until('all sent', () => ned.messages(), (messages) => messages.length === 30 && messages.every(({ seq }) => seq > 0));
  await ned.page.getByTestId('history').hover();
  await ned.page.mouse.wheel(0, -600);
  await ned.page.getByTestId('jump-down').waitFor();
  const [button, log] = [await ned.page.getByTestId('jump-down').boundingBox(), await ned.page.locator('.log').boundingBox()];
  assert.ok(Math.abs(button.x + button.width - (log.x + log.width)) <= 24, JSON.stringify({ button, log }));
  await ned.shot('wide');
  await goodbye(ned);
});

test('on a phone everything one taps is large enough', async () => {
  const oz = await shared.person('Oz', { viewport: { width: 390, height: 844 } });
  await oz.say('hello');
  await oz.sees('hello');
  const small = () =>
    oz.page.evaluate(() =>
      [...document.querySelectorAll('.icon-button, .send-button, .button, .room, .me-id, .chip, .search-field')]
        .filter((node) => node.checkVisibility())
        .map((node) => ({ name: node.ariaLabel ?? node.textContent, ...node.getBoundingClientRect().toJSON() }))
        .filter(({ width, height }) => width < 40 || height < 32),
    );
  assert.deepEqual(await small(), []);
  await oz.shot('phone-room');
  await oz.page.getByTestId('back').click();
  await oz.page.getByTestId('room-item').first().waitFor();
  assert.deepEqual(await small(), []);
  await oz.shot('phone-rooms');
  await goodbye(oz);
});
