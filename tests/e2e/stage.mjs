// What every story needs: a server of its own, a browser, and people at it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

import { Person } from './person.mjs';
import { startServer } from './server.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** To be called once in a file of stories. `prepare(shared)` runs before the first. */
export function stage({ serverOptions = [], prepare } = {}) {
  const shared = {
    /** Signs somebody in, in a window of their own. */
    person: (name, options) => Person.signIn(shared.browser, shared.server.url, name, options),
  };
  before(async () => {
    assert.ok(existsSync(executablePath), `no Chromium at ${executablePath}: install Debian's package chromium, or set CHROMIUM`);
    mkdirSync(new URL('out', import.meta.url), { recursive: true });
    shared.server = await startServer(...serverOptions);
    shared.browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    await prepare?.(shared);
  });
  after(async () => {
    await shared.browser?.close();
    if (shared.server) assert.equal(await shared.server.stop(), 0, 'the server ends cleanly');
  });
  return shared;
}

/** Waits until `read` gives what `wanted` accepts. */
export async function until(what, read, wanted, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await read();
    if (wanted(value)) return value;
    if (Date.now() > end) assert.fail(`${what}: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Nothing went wrong on anybody's page, and everybody goes home. */
export async function goodbye(...people) {
  assert.deepEqual(people.flatMap((person) => person.problems), []);
  for (const person of people) await person.page.context().close();
}
