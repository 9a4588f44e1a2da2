// The whole way without a mouse: the focus is always somewhere one can see, and comes back from where it went.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fill, guest, guests, post, rest } from './crowd.mjs';
import { Person } from './person.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage({ serverOptions: ['--room-rate', '20000'] });

/** Fails if nothing has the focus, or nothing shows where it is. */
async function assertFocus(page, what) {
  const state = await page.evaluate(() => {
    const { activeElement: node } = document;
    const shows = (element) => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || boxShadow !== 'none';
    };
    const box = node.getBoundingClientRect();
    return {
      somewhere: node !== document.body && node.isConnected,
      shown: shows(node) || shows(node.parentElement),
      inSight: box.bottom > 0 && box.top < innerHeight && box.width > 0,
      node: node.outerHTML.slice(0, 120),
    };
  });
  assert.ok(state.somewhere && state.shown && state.inSight, `${what}: ${JSON.stringify(state)}`);
}

const focused = (page, testid) => page.locator(`[data-testid=${testid}]:focus`).waitFor();

test('sign in, write, edit, react, delete, search, jump and come back, all by keys', async () => {
  const { url } = shared.server;
  const kay = await Person.open(shared.browser, url, 'Kay');
  const { page } = kay;
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };

  // Signing in.
  await focused(page, 'signin-name');
  await page.keyboard.type('Kay');
  await press('Enter');
  await kay.connected();
  await focused(page, 'composer');
  await page.keyboard.type('first line');
  await press('Shift+Enter');
  await page.keyboard.type('second line');
  await press('Enter');
  await kay.sees('second line');
  await page.keyboard.type('another');
  await press('Enter');
  await until('both stored', () => kay.messages(), (messages) => messages.length === 2 && messages.every(({ seq }) => seq > 0));
  await assertFocus(page, 'after writing');

  // To a message, and its editor.
  await press('ArrowUp');
  await focused(page, 'message');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^You: another, /);
  await press('ArrowUp');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^You: first line/);
  await assertFocus(page, 'on a message');
  await press('e');
  await focused(page, 'edit-field');
  await assertFocus(page, 'in the editor');
  await press('Escape');
  await focused(page, 'message');
  await press('e', 'End');
  await page.keyboard.type(', edited');
  await press('Enter');
  await focused(page, 'message');
  await kay.sees('second line, edited');
  await focused(page, 'message');

  // A reaction, with the arrow keys.
  await press('r');
  await focused(page, 'pick');
  await assertFocus(page, 'on a reaction');
  await press('ArrowRight', 'ArrowDown', 'ArrowLeft');
  await press('Escape');
  await focused(page, 'message');
  await press('Enter');
  await focused(page, 'react');
  await press('Enter', 'ArrowRight', 'Enter');
  await kay.message('edited').getByTestId('reaction').waitFor();
  await focused(page, 'react');
  await assertFocus(page, 'after reacting');
  await press('ArrowDown');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^You: another/);

  // Enter leads to what can be done, and deleting asks first.
  await press('Enter');
  await focused(page, 'react');
  await press('Tab', 'Tab');
  await focused(page, 'delete');
  await press('Enter');
  await focused(page, 'confirm');
  await assertFocus(page, 'in the question');
  await press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await focused(page, 'delete');
  await press('ArrowUp', 'ArrowDown', 'Delete');
  await focused(page, 'confirm');
  await press('Enter');
  await kay.sees('Message deleted');
  await focused(page, 'message');
  await assertFocus(page, 'after deleting');
  await press('ArrowDown');
  await focused(page, 'composer');

  // Search, jump, and back.
  const bob = await guest(url, 'Bob');
  await post(url, bob, 'lobby', 'b', 'a needle');
  const authors = await guests(url, 10);
  await fill(url, authors, 'lobby', 120, (n) => `hay ${n}`);
  await kay.sees('hay 120');
  await page.getByTestId('search').focus();
  await page.keyboard.type('needle');
  await page.getByTestId('search-result').waitFor();
  await press('ArrowDown');
  await focused(page, 'search-result');
  await assertFocus(page, 'on a result');
  await press('ArrowUp');
  await focused(page, 'search');
  await press('ArrowDown', 'Enter');
  await kay.message('a needle').waitFor();
  await focused(page, 'message');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /a needle/);
  await assertFocus(page, 'on what was found');
  await press('End');
  await kay.sees('hay 120');
  await until('the newest', () => page.evaluate(() => document.activeElement === [...document.querySelectorAll('[data-testid=message]')].at(-1)), Boolean);
  await press('Escape');
  await focused(page, 'composer');
  await page.getByTestId('search').focus();
  await press('Escape');
  assert.equal(await page.getByTestId('search').inputValue(), '');

  await goodbye(kay);
});

test('arrow keys go through a long history, and the focus is not lost when its message is let go', async () => {
  const { url } = shared.server;
  const lou = await shared.person('Lou');
  const { page } = lou;
  await lou.createRoom('Long walk');
  const session = await lou.session();
  const { rooms } = await (await rest(url, session, 'GET', '/rooms')).json();
  const { id } = rooms.map(({ room }) => room).find(({ metadata }) => metadata.name === 'Long walk');
  const authors = await guests(url, 15);
  for (const { user } of authors) await rest(url, session, 'PUT', `/rooms/${id}/members/${encodeURIComponent(user)}`, {});
  await fill(url, authors, id, 300, (n) => `step ${n}`);
  await lou.sees('step 300');
  await page.keyboard.press('ArrowUp');
  for (let n = 300; n > 150; n -= 1) await page.keyboard.press('ArrowUp');
  // A press at the oldest message that is there yet goes nowhere until older ones have come.
  const further = async () => {
    await page.keyboard.press('ArrowUp');
    return page.evaluate(() => document.activeElement.textContent);
  };
  await until('far up', further, (text) => /step 1[45]\d/.test(text));
  await assertFocus(page, 'far up');
  await page.getByTestId('history').hover();
  for (let n = 0; n < 40; n += 1) {
    await page.mouse.wheel(0, 1_000);
    await page.waitForTimeout(30);
  }
  await lou.sees('step 300');
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), 'BODY');
  await page.keyboard.press('ArrowDown');
  await until('on a message, or past the last', () => lou.focus(), (focus) => focus === 'message' || focus === 'composer');
  await goodbye(lou);
});

test('rooms are made, shared and left by keys, and the focus comes back', async () => {
  const max = await shared.person('Max');
  const { page } = max;
  await page.getByTestId('create-room').focus();
  await page.keyboard.press('Enter');
  await focused(page, 'room-name-field');
  await page.keyboard.press('Escape');
  await focused(page, 'create-room');
  await page.keyboard.press('Enter');
  await page.keyboard.type('By keys');
  await page.keyboard.press('Enter');
  await page.locator('.room-title').filter({ hasText: 'By keys' }).waitFor();
  await focused(page, 'composer');
  await page.getByTestId('invite-user').focus();
  await page.keyboard.press('Enter');
  await focused(page, 'invite-field');
  await assertFocus(page, 'in the invitation');
  await page.keyboard.press('Escape');
  await focused(page, 'invite-user');
  await page.keyboard.press('Escape');
  await focused(page, 'show-members');
  await page.keyboard.press('Enter');
  await page.getByTestId('leave-room').focus();
  await page.keyboard.press('Enter');
  await focused(page, 'confirm');
  await page.keyboard.press('Enter');
  await max.room('By keys').waitFor({ state: 'detached' });
  await until('the focus is somewhere', () => page.evaluate(() => document.activeElement.tagName), (tag) => tag !== 'BODY');
  await assertFocus(page, 'after leaving');
  await goodbye(max);
});
