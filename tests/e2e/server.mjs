// Starts the quickstart server, and stops it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** In memory, unless `--data` and a folder are among the options. */
export async function startServer(...options) {
  if (!options.includes('--data')) options.push('--memory');
  const listen = options.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const program = process.env.CHAT_QUICKSTART_BIN;
  if (!program) {
    throw new Error('CHAT_QUICKSTART_BIN must name the quickstart program: `cargo xtask test` builds it and sets this');
  }
  const { DATABASE_URL, REDIS_URL, HOT_LOG, ...env } = process.env;
  const child = spawn(program, [...listen, '--log', 'warn', ...options], { stdio: ['ignore', 'pipe', 'inherit'], env });
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
    /** As a crash does: nothing is flushed, nobody is told. */
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code;
    },
  };
}
