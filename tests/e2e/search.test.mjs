// Finding what was said.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fill, guests } from './crowd.mjs';
import { goodbye, stage, until } from './stage.mjs';

const shared = stage({
  serverOptions: ['--room-rate', '20000'],
  prepare: async ({ server }) => {
    const authors = await guests(server.url, 20);
    await fill(server.url, authors, 'lobby', 400, (n) => (n === 37 ? 'the hidden treasure lies here' : `sentence number ${n}`));
  },
});

test('a search finds a message that is not loaded, and leads to it and back', async () => {
  const jo = await shared.person('Jo');
  const { page } = jo;
  await jo.sees('sentence number 400');
  assert.ok(!(await jo.texts()).includes('the hidden treasure lies here'));
  await page.getByTestId('search').fill('hidden treasure');
  const result = page.getByTestId('search-result');
  await result.waitFor();
  assert.deepEqual(await result.locator('mark').allTextContents(), ['hidden', 'treasure']);
  await result.click();
  const found = jo.message('the hidden treasure lies here');
  await found.waitFor();
  assert.equal(await found.evaluate((row) => document.activeElement === row && row.classList.contains('is-found')), true);
  await jo.shot('found');
  const seqs = (await jo.messages()).map(({ seq }) => seq);
  assert.deepEqual(seqs, seqs.toSorted((a, b) => a - b));
  // What comes in meanwhile does not move the page, and is counted.
  const top = () => found.evaluate((row) => row.getBoundingClientRect().top);
  const before = await top();
  const other = await shared.person('Kim');
  await other.say('something new');
  await until('the count', () => page.getByTestId('jump-down').textContent(), (text) => /1 new message/.test(text));
  assert.equal(await top(), before);
  await page.getByTestId('jump-down').click();
  await jo.sees('something new');
  assert.ok((await jo.messages()).length > 1);
  await goodbye(jo, other);
});

test('many results come in pages, and none at all are told of', async () => {
  const jo = await shared.person('Jo');
  const { page } = jo;
  await page.getByTestId('search').fill('sentence');
  const results = page.getByTestId('search-result');
  await until('the first page', () => results.count(), (count) => count === 20);
  await page.getByRole('button', { name: 'More results' }).click();
  await until('the second page', () => results.count(), (count) => count === 40);
  const ids = await results.evaluateAll((all) => all.map((result) => result.dataset.id));
  assert.equal(new Set(ids).size, 40, 'each once');
  assert.ok(await results.nth(20).evaluate((button) => button === document.activeElement), 'the focus is on the first of them');
  await page.getByTestId('search').fill('xyzzy');
  await page.getByTestId('search-status').filter({ hasText: 'Nothing found.' }).waitFor();
  await page.getByTestId('clear-search').click();
  await page.getByTestId('room-item').first().waitFor();
  assert.equal(await jo.focus(), 'search');
  await goodbye(jo);
});
