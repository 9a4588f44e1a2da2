// What is written can be changed, taken back and answered with a reaction, and everybody sees it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { guest, post, rest } from './crowd.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage();

test('messages can be edited, deleted and reacted to, and others see it', async () => {
  const [eve, fay] = [await shared.person('Eve'), await shared.person('Fay')];
  await eve.say('first version');
  await fay.sees('first version');
  await eve.message('first version').hover();
  await eve.page.getByTestId('edit').click();
  await eve.page.getByTestId('edit-field').fill('second version');
  await eve.page.getByTestId('edit-save').click();
  await fay.sees('second version');
  assert.match(await fay.message('second version').textContent(), /edited/);

  const row = fay.message('second version');
  await row.hover();
  await fay.page.getByTestId('react').click();
  await fay.page.getByTestId('pick').first().click();
  const chip = eve.message('second version').getByTestId('reaction');
  await chip.waitFor();
  assert.match(await chip.getAttribute('aria-label'), /👍, 1: .?Fay/u);
  await chip.click();
  await until('both', () => row.getByTestId('reaction').getAttribute('aria-label'), (label) => /👍, 2: You, .?Eve/u.test(label));
  assert.equal(await row.getByTestId('reaction').getAttribute('aria-pressed'), 'true');
  await row.getByTestId('reaction').click();
  await until('one again', () => chip.getAttribute('aria-label'), (label) => /👍, 1: You/u.test(label));

  await eve.message('second version').hover();
  await eve.page.getByTestId('delete').click();
  await eve.page.getByTestId('cancel').click();
  await eve.message('second version').hover();
  await eve.page.getByTestId('delete').click();
  await eve.page.getByTestId('confirm').click();
  await until('the deleted text', () => fay.texts(), (texts) => !texts.includes('second version'));
  await fay.sees('Message deleted');
  assert.equal(await fay.message('Message deleted').last().getByTestId('reaction').count(), 0);
  await goodbye(eve, fay);
});

test('an edit can be left, must say something, and survives messages that come in meanwhile', async () => {
  const eve = await shared.person('Eve');
  const fay = await guest(shared.server.url, 'Fay');
  await eve.say('to be edited');
  await until('stored', () => eve.messages(), (messages) => messages.at(-1).seq > 0);
  const row = eve.page.locator('[data-testid=message]').last();
  const field = eve.page.getByTestId('edit-field');
  await eve.message('to be edited').hover();
  await eve.page.getByTestId('edit').click();
  await field.fill('');
  await field.press('Enter');
  await eve.page.getByText('A message needs some text.').waitFor();
  await field.fill('half written');
  for (let n = 1; n <= 5; n += 1) await post(shared.server.url, fay, 'lobby', `in-${n}`, `meanwhile ${n}`);
  await eve.sees('meanwhile 5');
  assert.equal(await field.inputValue(), 'half written');
  assert.equal(await eve.focus(), 'edit-field');
  await field.press('Escape');
  await eve.sees('to be edited');
  assert.equal(await field.count(), 0);
  assert.ok(await row.isVisible());
  await goodbye(eve);
});

test('only what is allowed is offered: one’s own messages, and everybody’s to a moderator', async () => {
  const { url } = shared.server;
  const owner = await shared.person('Owner');
  const guy = await guest(url, 'Guy');
  await owner.createRoom('Moderated');
  await owner.invite(guy.user);
  const [{ room: { id } }] = (await (await rest(url, guy, 'GET', '/rooms')).json()).rooms.filter(({ room }) => room.metadata.name === 'Moderated');
  await post(url, guy, id, 'g', 'by the guy');
  await owner.sees('by the guy');
  await owner.message('by the guy').hover();
  assert.equal(await owner.page.getByTestId('edit').count(), 0, 'nobody edits what others wrote');
  await owner.page.getByTestId('delete').click();
  await owner.page.getByTestId('confirm').click();
  await owner.sees('Message deleted');
  // In the lobby the same person is a member like all.
  await post(url, guy, 'lobby', 'l', 'in the lobby');
  await owner.room('Lobby').click();
  await owner.sees('in the lobby');
  await owner.message('in the lobby').hover();
  await owner.page.getByTestId('react').waitFor();
  assert.equal(await owner.page.getByTestId('delete').count(), 0);
  await goodbye(owner);
});

test('links lead elsewhere, code keeps its form, and markup is only text', async () => {
  const eve = await shared.person('Eve');
  await eve.say('see https://example.org/a_(b), or `x < y`');
  await eve.page.locator('a[href="https://example.org/a_(b"]').waitFor();
  assert.equal(await eve.page.locator('.text code').last().textContent(), 'x < y');
  await eve.say('<img src=x onerror=alert(1)> javascript:alert(1)');
  await eve.sees('<img src=x');
  assert.equal(await eve.page.locator('.text img').count(), 0);
  assert.equal(await eve.page.locator('a[href^=javascript]').count(), 0);
  await goodbye(eve);
});
