// A room with ten thousand messages: it scrolls smoothly from the newest to the oldest and back, each message once and in
// order, nothing jumps, and a search leads into the middle of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { command, fill, guests } from './crowd.mjs';
import { costOfRows, measure, turnWheel, watchRows } from './scrolling.mjs';
import { goodbye, stage, until } from './stage.mjs';

const MESSAGES = 10_000;
/** So many rows are in the document at most. */
const MOST_ROWS = 400;
/** No task may cost what it costs to lay out a tenth of the room at once, whatever this machine takes for that. */
const ROWS_OF_A_LONG_TASK = MESSAGES / 10;
/** Less than half of what is in sight, since on a busy machine two turns come in one frame: no message is left out. */
const STEP_PX = 700;

const shared = stage({ serverOptions: ['--room-rate', '20000'], prepare });

/** Mostly short, some long, with emoji, in both directions, over several lines. */
function textOf(n) {
  if (n === MESSAGES / 2) return `Message ${n}, where the needle lies`;
  if (n % 4 !== 0) return `Message ${n}`;
  const kinds = [
    `Message ${n} 👋🏽🎉 with a bit more to say than the one before it`,
    `Message ${n}: ${'a sentence that goes on and on, as they do when somebody explains a thing. '.repeat(1 + (n % 7))}`,
    `Message ${n}\nשלום, זאת הודעה בעברית\nand a line in English`,
    `Message ${n}: see https://example.org/${n} and \`code(${n})\``,
    '🎉',
  ];
  return kinds[(n / 4) % kinds.length];
}

async function prepare({ server: { url }, browser }) {
  const authors = await guests(url, 100);
  const ids = await fill(url, authors, 'lobby', MESSAGES, textOf);
  // Each writer edits some of its own messages, and reacts to some of the others'.
  const page = await browser.newPage();
  await page.goto(`${url}/icon.svg`);
  await Promise.all(authors.slice(0, 40).map((author, at) => {
    const own = ids.filter((message) => message.user === author.user).slice(0, 8);
    const others = ids.filter((_, n) => n % 500 === at);
    return command(page, author, [
      ...own.map(({ id }, n) => ({ type: 'edit', room: 'lobby', clientId: `e-${n}`, target: id, text: `Edited ${id}` })),
      ...others.map(({ id }, n) => ({ type: 'react', room: 'lobby', clientId: `r-${n}`, target: id, key: '🎉', op: 'add' })),
    ]);
  }));
  await page.close();
}

test('ten thousand messages scroll without a long task, each once and in order', { timeout: 240_000 }, async () => {
  const reader = await shared.person('Reader', { viewport: { width: 1200, height: 1600 } });
  const { page } = reader;
  const history = page.getByTestId('history');
  await history.hover();
  await page.getByText('Message 10000').first().waitFor();
  const bound = await costOfRows(page, ROWS_OF_A_LONG_TASK);
  console.log(`${ROWS_OF_A_LONG_TASK} rows at once: ${bound} ms of the thread`);

  for (const [name, direction] of [['up', -1], ['down', 1]]) {
    await watchRows(page);
    const tasks = await measure(page);
    const begun = Date.now();
    const { least, most } = await wheelToEnd(page, direction);
    const seconds = (Date.now() - begun) / 1000;
    const times = await tasks.end();
    const seen = await page.evaluate(() => window.watched.end());
    console.log(`${name}: ${seconds.toFixed(1)} s, longest task ${times.longestCpuMs} ms of the thread, ${times.longestMs} ms by the clock, long tasks [${times.long}], frames p95 ${seen.frameP95} ms, longest ${seen.longestFrame} ms, at most ${seen.mostRows} rows`);

    assert.deepEqual(seen.problems, []);
    assert.equal(seen.messages, MESSAGES, 'every message was in sight');
    assert.ok(seen.mostRows < MOST_ROWS, `${seen.mostRows} rows at once`);
    const travelled = -direction * seen.travelled;
    assert.ok(travelled >= least - 5 * STEP_PX && travelled <= most, `wheeled ${least} to ${most}, travelled ${travelled}`);
    assert.ok(times.longestCpuMs < bound, `a task of ${times.longestCpuMs} ms`);
  }
  assert.ok(!(await page.getByTestId('jump-down').isVisible()), 'back at the newest');
  await goodbye(reader);

  /**
   * Turns the wheel, once in each frame, until nothing moves any more; gives how far it was turned at least and at most: on
   * a busy machine a turn that seems to move nothing moves with the next one.
   */
  async function wheelToEnd(shown, direction) {
    let [turns, all, still, last] = [0, 0, 0, null];
    while (still < 20) {
      all += 1;
      const now = await turnWheel(shown, direction * STEP_PX);
      still = now === last ? still + 1 : 0;
      if (still === 0) turns += 1;
      last = now;
    }
    return { least: turns * STEP_PX, most: all * STEP_PX };
  }
});

test('a search leads into the middle of a long history, and one goes on from there', { timeout: 60_000 }, async () => {
  const reader = await shared.person('Seeker');
  const { page } = reader;
  await page.getByTestId('search').fill('needle lies');
  await page.getByTestId('search-result').first().click();
  const found = page.getByTestId('message').filter({ hasText: 'where the needle lies' });
  await found.waitFor();
  assert.ok(await found.evaluate((row) => row === document.activeElement), 'the message has the focus');
  const box = await found.boundingBox();
  assert.ok(box.y > 150 && box.y < 650, `in the middle of the window: ${box.y}`);
  const seqs = () => page.locator('[data-testid=history] [data-seq]').evaluateAll((rows) => rows.map((row) => Number(row.dataset.seq)));
  await until('messages on both sides', seqs, (all) => all.length > 40);
  for (const direction of [-1, 1]) {
    await watchRows(page);
    await page.getByTestId('history').hover();
    for (let n = 0; n < 40; n += 1) await turnWheel(page, direction * 400);
    const seen = await page.evaluate(() => window.watched.end());
    assert.deepEqual(seen.problems, []);
    assert.ok(seen.messages > 50, `${seen.messages} messages passed`);
  }
  await page.getByTestId('jump-down').click();
  await reader.sees(`Message ${MESSAGES}`);
  await goodbye(reader);
});
