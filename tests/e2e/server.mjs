// Starts the quickstart server, and stops it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** With a folder of its own, unless one is given by `--data` or wanted by nobody (`--memory`). */
export async function startServer(...options) {
  const program = process.env.CHAT_QUICKSTART_BIN;
  if (!program) {
    throw new Error('CHAT_QUICKSTART_BIN must name the quickstart program: `cargo xtask test` builds it and sets this');
  }
  const folder = options.includes('--memory') || options.includes('--data') ? null : mkdtempSync(join(tmpdir(), 'chat-e2e-'));
  const data = folder ? ['--data', folder] : [];
  const child = spawn(program, ['--listen', '127.0.0.1:0', '--log', 'warn', ...data, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const said = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      const found = line.match(/^listening on http:\/\/127\.0\.0\.1:(\d+)/);
      if (found) return Number(found[1]);
    }
    throw new Error('the server ended before it said where it listens');
  })();
  const port = await said;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      if (folder) rmSync(folder, { recursive: true });
      return code;
    },
  };
}
