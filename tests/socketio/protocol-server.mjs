// Starts the protocol server, and speaks to it packet by packet.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

/** The server, with pings so quick that a test can wait for them. */
export async function start(...options) {
  const program = process.env.CHAT_PROTOCOL_SERVER_BIN;
  if (!program) throw new Error('CHAT_PROTOCOL_SERVER_BIN must name the protocol server: `cargo xtask test` sets it');
  const child = spawn(program, ['--address', '127.0.0.1:0', '--ping-interval-ms', '300', '--ping-timeout-ms', '200', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /^listening on (http:\S+)$/.exec(line);
    if (!found) continue;
    const stop = async () => {
      child.kill('SIGINT');
      await exited;
    };
    return { url: found[1], stop };
  }
  throw new Error('the server ended without a word');
}

/** One session of long polling. */
export class Polling {
  static async open(url) {
    const polling = new Polling();
    const address = `${url}/?EIO=4&transport=polling`;
    const hello = await (await fetch(address)).text();
    polling.hello = JSON.parse(hello.slice(1));
    polling.url = `${address}&sid=${polling.hello.sid}`;
    // Beside the protocol, the first ping comes at once.
    const first = await polling.packets();
    if (first.join() !== '2') throw new Error(`first came ${first}`);
    await polling.post('3');
    return polling;
  }

  post = (body) => fetch(this.url, { method: 'POST', body });
  poll = () => fetch(this.url);

  /** The packets of the next answer. */
  async packets() {
    return (await (await this.poll()).text()).split('\u001e');
  }
}

/** A WebSocket whose messages are waited for one by one. */
export class Wire {
  #received = [];
  #wake = () => {};

  constructor(url, sid) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ''}`);
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve) => this.socket.addEventListener('open', resolve));
    this.closed = new Promise((resolve) => this.socket.addEventListener('close', resolve));
    this.socket.addEventListener('error', () => {});
    this.socket.addEventListener('message', ({ data }) => {
      this.#received.push(typeof data === 'string' ? data : Buffer.from(data));
      this.#wake();
    });
  }

  send(...messages) {
    for (const message of messages) this.socket.send(message);
  }

  /** The next message; pings are answered and passed over unless `pings`. */
  async next({ pings = false, ms = 5_000 } = {}) {
    const end = Date.now() + ms;
    for (;;) {
      while (this.#received.length === 0) {
        if (Date.now() > end) throw new Error(`nothing within ${ms} ms`);
        await Promise.race([new Promise((resolve) => (this.#wake = resolve)), new Promise((resolve) => setTimeout(resolve, 20))]);
      }
      const message = this.#received.shift();
      if (message !== '2' || pings) return message;
      this.socket.send('3');
    }
  }

  close() {
    this.socket.close();
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fails where something takes too long. */
export async function inTime(what, promise, ms = 5_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
