// axe finds nothing to complain of, in no part of the page, in no colours and at no width.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { command, fill, guest, guests, post } from './crowd.mjs';
import { Person } from './person.mjs';
import { startProxy } from './proxy.mjs';
import { goodbye, stage } from './stage.mjs';

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const LOOKS = [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
];

const shared = stage({
  prepare: async ({ server, browser }) => {
    const [ann, ...others] = await guests(server.url, 6);
    await fill(server.url, [ann, ...others], 'lobby', 40, (n) => `Message ${n} with a link https://example.org/${n} and \`code\``);
    const { id } = await post(server.url, ann, 'lobby', 'reacted', 'With reactions');
    await post(server.url, await guest(server.url, 'שרה'), 'lobby', 'rtl', 'שלום לכולם 🎉');
    const page = await browser.newPage();
    await page.goto(`${server.url}/icon.svg`);
    await command(page, others[0], ['👍', '🎉'].map((key) => ({ type: 'react', room: 'lobby', clientId: key === '👍' ? 'r-1' : 'r-2', target: id, key, op: 'add' })));
    await page.close();
  },
});

/** Checks the page as it is now, with every rule there is. */
async function check(page, what) {
  // Colours are judged as they are in the end, not on the way there.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  const violations = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ['violations'] });
    return result.violations.map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`) }));
  });
  assert.deepEqual(violations, [], what);
}

for (const [look, options] of LOOKS) {
  test(`nothing to complain of: ${look}`, { timeout: 60_000 }, async (t) => {
    const proxy = await startProxy(shared.server.port);
    t.after(() => proxy.stop());
    const prepare = (page) => page.addInitScript({ path: axe });
    const person = await Person.open(shared.browser, proxy.url, 'Ann', { ...options, prepare, bypassCSP: true });
    const { page } = person;
    const narrow = look === 'phone';
    const own = `One of my own, ${look}`;
    const at = (testid) => page.getByTestId(testid);

    await check(page, 'sign-in');
    await at('signin-name').fill('<b>');
    await at('signin-submit').click();
    await page.locator('#signin-problem').filter({ hasText: 'A name has' }).waitFor();
    await check(page, 'a name refused');
    await at('signin-name').fill('Ann');
    await at('signin-submit').click();
    await person.connected();
    if (narrow) {
      await at('room-item').waitFor();
      await check(page, 'rooms');
      await at('room-item').click();
    }
    await person.sees('שלום');
    await person.say(own);
    await person.message(own).locator('[aria-label=sent]').waitFor();
    await check(page, 'conversation');

    await person.message(own).hover();
    if (narrow) await person.message(own).click();
    await at('react').click();
    await at('pick').first().waitFor();
    await check(page, 'choice of reactions');
    await page.keyboard.press('Escape');
    await at('edit').click();
    await at('edit-field').fill('');
    await page.keyboard.press('Enter');
    await check(page, 'editing');
    await page.keyboard.press('Escape');
    await person.message(own).hover();
    await at('delete').click();
    await check(page, 'asked before deleting');
    await at('cancel').click();

    if (narrow) {
      await at('show-members').click();
      await at('member').first().waitFor();
      await check(page, 'people');
      await at('close-members').click();
      await at('back').click();
    }
    await at('search').fill('reactions');
    await at('search-result').first().waitFor();
    await check(page, 'search results');
    await at('search').fill('xyzzy');
    await at('search-status').filter({ hasText: 'Nothing' }).waitFor();
    await check(page, 'no results');
    await at('clear-search').click();

    await at('create-room').click();
    await check(page, 'making a room');
    await at('room-name-field').fill(`Room ${look}`);
    await at('room-name-submit').click();
    await page.locator('.room-title').filter({ hasText: 'Room' }).waitFor();
    await check(page, 'an empty room');
    if (narrow) await at('show-members').click();
    await at('invite-user').click();
    await at('invite-field').fill('nobody');
    await page.keyboard.press('Enter');
    await check(page, 'inviting');
    await at('cancel').click();
    await at('leave-room').click();
    await check(page, 'leaving');
    await at('cancel').click();
    if (narrow) await at('close-members').click();

    await at('composer').fill('x'.repeat(1_001));
    await check(page, 'too long');
    await at('composer').fill('');
    proxy.cut();
    await person.disconnected();
    await person.say('Not yet sent');
    await check(page, 'reconnecting');
    proxy.mend();
    await person.connected();
    await goodbye(person);
  });
}
