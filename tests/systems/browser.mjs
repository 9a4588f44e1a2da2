// A page in Chromium that has the browser builds of the clients, and nothing else.

import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** What pages of applications load. */
const BUILDS = {
  '/socket.io.js': 'socket.io-client/dist/socket.io.min.js',
  '/stomp.js': '@stomp/stompjs/bundles/stomp.umd.min.js',
  '/sockjs.js': 'sockjs-client/dist/sockjs.min.js',
};
const PAGE = `<!doctype html><title>clients</title>${Object.keys(BUILDS).map((path) => `<script src="${path}"></script>`).join('')}`;

const file = (name) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url));

/** A browser, and pages of an origin of their own: `open()` answers one, `origin` is where they come from. */
export class Browser {
  static async start() {
    assert.ok(existsSync(executablePath), `no Chromium at ${executablePath}: install Debian's package chromium, or set CHROMIUM`);
    const browser = new Browser();
    browser.pages = createServer(({ url }, response) => {
      const build = BUILDS[url];
      response.setHeader('content-type', build ? 'text/javascript' : 'text/html');
      if (build) createReadStream(file(build)).pipe(response);
      else response.end(PAGE);
    });
    await new Promise((resolve) => browser.pages.listen(0, '127.0.0.1', resolve));
    browser.origin = `http://127.0.0.1:${browser.pages.address().port}`;
    browser.chromium = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    return browser;
  }

  async open() {
    const page = await this.chromium.newPage();
    await page.goto(this.origin);
    return page;
  }

  async close() {
    await this.chromium.close();
    await new Promise((resolve) => this.pages.close(resolve));
  }
}
