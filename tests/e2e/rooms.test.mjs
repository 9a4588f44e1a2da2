// Rooms of one's own: made, shared, left.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { guest } from './crowd.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage();

test('a room of one’s own, an invitation, and a badge for what is unread', async () => {
  const [gil, hal] = [await shared.person('Gil'), await shared.person('Hal')];
  await gil.createRoom('Quiet corner');
  await gil.invite(await hal.user());
  const invited = hal.room('Quiet corner');
  await invited.waitFor();
  await gil.say('are you there?');
  await until('the badge', () => invited.getAttribute('data-unread'), (unread) => Number(unread) > 0);
  assert.match(await hal.page.title(), /^\(\d+\) /);
  await hal.shot('unread');
  await invited.click();
  await hal.sees('are you there?');
  await until('the badge, read', () => invited.getAttribute('data-unread'), (unread) => Number(unread ?? 0) === 0);
  await goodbye(gil, hal);
});

test('people one shares a room with are invited by name, others by the id they copied', async () => {
  const gil = await shared.person('Gil', { permissions: ['clipboard-read', 'clipboard-write'] });
  const sara = await guest(shared.server.url, 'שרה');
  await gil.createRoom('Names');
  await gil.page.getByTestId('invite-user').click();
  const field = gil.page.getByTestId('invite-field');
  await field.fill('nobody at all');
  await gil.page.getByTestId('invite-submit').click();
  await gil.page.locator('#dialog-problem').filter({ hasText: 'no room with anybody of this name' }).waitFor();
  await field.fill('שרה');
  await gil.page.getByTestId('suggestion').filter({ hasText: 'שרה' }).first().click();
  await gil.page.locator(`[data-testid=member][data-user="${sara.user}"]`).waitFor();
  await gil.page.getByTestId('copy-id').click();
  assert.equal(await gil.page.evaluate(() => navigator.clipboard.readText()), await gil.user());
  await goodbye(gil);
});

test('only who may invite is offered to', async () => {
  const [gil, hal] = [await shared.person('Gil'), await shared.person('Hal')];
  assert.equal(await gil.page.getByTestId('invite-user').isVisible(), false, 'nobody invites to the lobby');
  assert.equal(await gil.page.getByTestId('leave-room').isVisible(), false, 'nobody leaves the lobby');
  await gil.createRoom('Owned');
  await gil.invite(await hal.user());
  await hal.room('Owned').click();
  await hal.page.locator('.room-title').filter({ hasText: 'Owned' }).waitFor();
  await hal.page.locator('[data-testid=member]').filter({ hasText: 'owner' }).waitFor();
  assert.equal(await hal.page.getByTestId('invite-user').isVisible(), false, 'a member does not');
  assert.equal(await gil.page.getByTestId('invite-user').isVisible(), true, 'an owner does');
  await goodbye(gil, hal);
});

test('who leaves a room is out of it, and can be invited back', async () => {
  const [gil, hal] = [await shared.person('Gil'), await shared.person('Hal')];
  await gil.createRoom('Come and go');
  const user = await hal.user();
  await gil.invite(user);
  await hal.room('Come and go').click();
  await hal.say('hello');
  await gil.sees('hello');
  await hal.page.getByTestId('leave-room').click();
  await hal.page.getByTestId('cancel').click();
  await hal.page.getByTestId('leave-room').click();
  await hal.page.getByTestId('confirm').click();
  await hal.room('Come and go').waitFor({ state: 'detached' });
  await gil.page.locator('.event').filter({ hasText: 'Hal left the room' }).waitFor();
  await gil.page.locator(`[data-testid=member][data-user="${user}"]`).waitFor({ state: 'detached' });
  await gil.invite(user);
  await hal.room('Come and go').click();
  await hal.sees('hello');
  await goodbye(gil, hal);
});

test('the only owner of a room hands it over before leaving', async () => {
  const [gil, hal] = [await shared.person('Gil'), await shared.person('Hal')];
  await gil.createRoom('Handed over');
  const user = await hal.user();
  await gil.invite(user);
  await hal.room('Handed over').click();
  await gil.page.getByTestId('leave-room').click();
  await gil.page.getByTestId('confirm').click();
  await gil.page.getByTestId('successor').filter({ hasText: 'Hal' }).waitFor();
  await gil.shot('successor');
  await gil.page.getByTestId('cancel').click();
  assert.equal(await gil.room('Handed over').count(), 1, 'nothing happened yet');
  await gil.page.getByTestId('leave-room').click();
  await gil.page.getByTestId('confirm').click();
  await gil.page.getByTestId('successor').filter({ hasText: 'Hal' }).click();
  await gil.room('Handed over').waitFor({ state: 'detached' });
  await hal.page.locator(`[data-testid=member][data-user="${user}"]`).filter({ hasText: 'owner' }).waitFor();
  await hal.page.getByTestId('invite-user').waitFor();
  await hal.page.getByTestId('leave-room').click();
  await hal.page.getByTestId('confirm').click();
  await hal.room('Handed over').waitFor({ state: 'detached' });
  await goodbye(gil, hal);
});

test('what is written in one room stays there while one looks at another, and so does the place', async () => {
  const gil = await shared.person('Gil');
  await gil.createRoom('Drafts');
  for (let n = 1; n <= 25; n += 1) await gil.say(`line ${n}`);
  await until('all sent', () => gil.messages(), (messages) => messages.length === 25 && messages.every(({ seq }) => seq > 0));
  await gil.page.getByTestId('composer').fill('half a thought');
  await gil.page.getByTestId('history').hover();
  await gil.page.mouse.wheel(0, -300);
  await gil.page.getByTestId('jump-down').waitFor();
  const top = () => gil.message('line 15').evaluate((row) => Math.round(row.getBoundingClientRect().top));
  const before = await top();
  await gil.room('Lobby').click();
  assert.equal(await gil.page.getByTestId('composer').inputValue(), '');
  await gil.room('Drafts').click();
  assert.equal(await gil.page.getByTestId('composer').inputValue(), 'half a thought');
  assert.equal(await top(), before);
  await goodbye(gil);
});
