// Somebody at the page.
export class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  static async signIn(browser, url, name, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
    const page = await context.newPage();
    const person = new Person(page, name);
    person.problems = [];
    page.on('pageerror', (error) => person.problems.push(String(error)));
    page.on('console', (message) => {
      // A cut connection is a failed request, as it should be.
      if (message.type() === 'error' && !/ERR_|WebSocket|Failed to load resource/.test(message.text())) person.problems.push(message.text());
    });
    await page.goto(url);
    await page.getByTestId('signin-name').fill(name);
    await page.getByTestId('signin-submit').click();
    await person.connected();
    // On a phone the list of rooms comes first.
    const composer = page.getByTestId('composer');
    const room = page.getByTestId('room-item').first();
    await room.or(composer).filter({ visible: true }).first().waitFor();
    if (!(await composer.isVisible())) await room.click();
    await composer.waitFor();
    return person;
  }

  connected() {
    return this.page.locator('[data-testid=connection][data-state=connected]').waitFor({ state: 'attached', timeout: 40_000 });
  }

  async say(text) {
    await this.page.getByTestId('composer').fill(text);
    await this.page.getByTestId('composer').press('Enter');
  }

  sees(text) {
    return this.page.getByTestId('message-text').filter({ hasText: text }).first().waitFor({ timeout: 20_000 });
  }

  /** The room's messages in the order in which they stand, with their positions. */
  messages() {
    return this.page.getByTestId('message').evaluateAll((rows) =>
      rows.map((row) => ({
        seq: Number(row.dataset.seq ?? 0),
        state: row.dataset.state,
        text: row.querySelector('[data-testid=message-text]')?.textContent,
      })),
    );
  }

  async user() {
    return this.page.evaluate(() => Object.values(sessionStorage).map((text) => {
      try {
        return JSON.parse(text).user;
      } catch {
        return undefined;
      }
    }).find(Boolean));
  }

  shot(name) {
    return this.page.screenshot({ path: new URL(`out/${name}.png`, import.meta.url).pathname });
  }
}
