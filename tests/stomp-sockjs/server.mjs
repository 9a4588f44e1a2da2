// Starts the protocol server, and stops it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export async function startServer(...options) {
  const program = process.env.CHAT_PROTOCOL_SERVER_BIN;
  if (!program) {
    throw new Error("CHAT_PROTOCOL_SERVER_BIN must name the protocol server: `cargo xtask test` builds it and sets this");
  }
  const child = spawn(program, ["--address", "127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const found = line.match(/^listening on (http:\S+)/);
    if (!found) continue;
    const stop = async () => {
      child.kill("SIGINT");
      await exited;
    };
    return { url: found[1], stop };
  }
  throw new Error("the server ended before it said where it listens");
}

/** Fails a promise that takes too long, with a word on what was waited for. */
export function inTime(promise, what, ms = 10_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Gathers what comes; `take(n)` waits for n more. */
export class Inbox {
  items = [];
  #wake = () => {};

  add(item) {
    this.items.push(item);
    this.#wake();
  }

  async take(count, what = "message") {
    const enough = async () => {
      while (this.items.length < count) await new Promise((resolve) => (this.#wake = resolve));
    };
    await inTime(enough(), `${count} × ${what}`);
    return this.items.splice(0, count);
  }
}
