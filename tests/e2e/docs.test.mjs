// The page that documents REST: it is whole, asks no other host, and works with a token typed in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { startServer } from './server.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
let server;
let browser;

before(async () => {
  server = await startServer();
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});

after(async () => {
  await browser?.close();
  if (server) assert.equal(await server.stop(), 0, 'the server ends cleanly');
});

test('a route is tried out with a token typed in, and nothing is asked of any other host', async () => {
  const guest = await (
    await fetch(`${server.url}/guest`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Ann"}' })
  ).json();
  const page = await browser.newPage();
  const problems = [];
  // A broken rule of the page's policy is an error on the console.
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${server.url}/chat/`) && !url.startsWith('data:')) problems.push(`asked for ${url}`);
  });

  await page.goto(`${server.url}/chat/docs`);
  const rooms = page.locator('[id$=chatListRooms]');
  await rooms.waitFor();
  assert.equal(await page.locator('.servers select').inputValue(), '/chat');

  await page.locator('button.authorize').first().click();
  // The first of the two ways: a header.
  await page.locator('.auth-container input').first().fill(guest.token);
  await page.locator('.auth-btn-wrapper button.authorize').first().click();
  await page.locator('.auth-btn-wrapper button.btn-done').first().click();

  await rooms.locator('.opblock-summary-control').click();
  await rooms.locator('.try-out__btn').click();
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().includes('/chat/rooms')),
    rooms.locator('button.execute').click(),
  ]);
  assert.equal(answer.status(), 200);
  assert.equal((await answer.json()).rooms[0].room.id, 'lobby');
  await rooms.locator('.live-responses-table .microlight', { hasText: 'lobby' }).first().waitFor();
  assert.deepEqual(problems, []);
});
