// The server is killed in the middle of a conversation and started again on the same file: both pages and the file end with
// the same messages in the same order, and with the same numbers of unread ones.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { startServer } from './server.mjs';
import { goodbye, stage, until } from './stage.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chat-crash-'));
const shared = stage({ serverOptions: ['--data', folder] });
after(() => rmSync(folder, { recursive: true, force: true }));

/** What the file itself holds, read by SQLite's own program. */
function stored(query) {
  const json = execFileSync('sqlite3', ['-json', '-readonly', join(folder, 'chat.db'), query], { encoding: 'utf8' });
  return json === '' ? [] : JSON.parse(json);
}

async function crash() {
  await shared.server.kill();
  shared.server = await startServer('--listen', `127.0.0.1:${shared.server.port}`, '--data', folder);
}

test('a server that is killed and started again loses nothing, and nobody has to do anything', async () => {
  const ann = await shared.person('Ann');
  const bob = await shared.person('Bob');
  await ann.createRoom('Harbour');
  await ann.invite(await bob.user());
  await bob.room('Harbour').waitFor();
  // Bob stays in the lobby: what Ann says in the harbour is unread for him.
  await ann.say('first');
  await ann.sees('first');

  const wanted = ['first'];
  for (let round = 1; round <= 3; round += 1) {
    for (let n = 1; n <= 5; n += 1) {
      wanted.push(`round ${round}, ${n}`);
      await ann.say(wanted.at(-1));
    }
    // Without a pause: some of them are answered by now and some are not.
    await crash();
    wanted.push(`after crash ${round}`);
    await ann.say(wanted.at(-1));
    await Promise.all([ann.connected(), bob.connected()]);
    await ann.sees(`after crash ${round}`);
  }
  const complete = (messages) => wanted.every((text) => messages.some((message) => message.text === text && message.seq > 0));
  const own = (messages) => messages.filter(({ text }) => wanted.includes(text)).map(({ seq, text }) => ({ seq, text }));
  const atAnn = own(await until('everything on her page', () => ann.messages(), complete));
  assert.equal(atAnn.length, wanted.length, 'each once');

  const unreadOf = async () => Number(await bob.room('Harbour').getAttribute('data-unread'));
  await until('his number of unread messages', unreadOf, (number) => number === wanted.length);
  const [unread] = stored(
    "SELECT count(*) AS n FROM entries e JOIN rooms r ON r.room = e.room JOIN members m ON m.room = r.room " +
      `WHERE m.user = '${await bob.user()}' AND r.metadata LIKE '%Harbour%' AND e.countable = 1 AND e.seq > m.read AND e.sender <> m.user`,
  );
  assert.equal(unread.n, wanted.length, 'the file has the same number');

  await bob.room('Harbour').click();
  const atBob = own(await until('everything on his page', () => bob.messages(), complete));
  assert.deepEqual(atBob, atAnn, 'one history on both pages');
  const inFile = stored(
    "SELECT e.seq AS seq, e.body AS text FROM entries e JOIN rooms r ON r.room = e.room WHERE r.metadata LIKE '%Harbour%' AND e.kind = 0 ORDER BY e.seq",
  );
  assert.deepEqual(inFile, atAnn, 'and in the file');
  assert.deepEqual(stored('PRAGMA integrity_check'), [{ integrity_check: 'ok' }]);

  // Reading is kept, too: after one more crash nothing is unread.
  // What he missed may be more than his window shows at once.
  await bob.page.getByTestId('history').hover();
  const scrolled = async () => {
    await bob.page.mouse.wheel(0, 1_000);
    return unreadOf();
  };
  await until('nothing is unread', scrolled, (number) => number === 0);
  await crash();
  await Promise.all([ann.connected(), bob.connected()]);
  await bob.page.reload();
  await bob.connected();
  await bob.sees('after crash 3');
  assert.deepEqual(own(await until('everything after a reload', () => bob.messages(), complete)), atAnn);
  assert.equal(await unreadOf(), 0);
  await goodbye(ann, bob);
});
