// Somebody at the page.
export class Person {
  problems = [];

  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.on('pageerror', (error) => this.problems.push(String(error)));
    page.on('console', (message) => {
      // A cut connection is a failed request, as it should be.
      if (message.type() === 'error' && !/ERR_|WebSocket|Failed to load resource/.test(message.text())) this.problems.push(message.text());
    });
  }

  /** Opens the page in a window of its own, before anybody is signed in. `prepare(page)` runs first of all. */
  static async open(browser, url, name, { prepare, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
    const page = await context.newPage();
    const person = new Person(page, name);
    await prepare?.(page);
    await page.goto(url);
    return person;
  }

  static async signIn(browser, url, name, options) {
    const person = await Person.open(browser, url, name, options);
    const { page } = person;
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

  disconnected() {
    return this.page.locator('[data-testid=connection]:not([data-state=connected])').waitFor();
  }

  async say(text) {
    await this.page.getByTestId('composer').fill(text);
    await this.page.getByTestId('composer').press('Enter');
  }

  sees(text) {
    return this.page.getByTestId('message-text').filter({ hasText: text }).first().waitFor({ timeout: 20_000 });
  }

  message(text) {
    return this.page.getByTestId('message').filter({ hasText: text });
  }

  room(name) {
    return this.page.getByTestId('room-item').filter({ hasText: name });
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

  async texts() {
    return (await this.messages()).map(({ text }) => text);
  }

  /** The session that this tab keeps: `{token, user, name}`. */
  session() {
    return this.page.evaluate(() => JSON.parse(sessionStorage.getItem('chat.session')));
  }

  async user() {
    return (await this.session()).user;
  }

  /** Makes a room and opens it. */
  async createRoom(name) {
    const { page } = this;
    await page.getByTestId('create-room').click();
    await page.getByTestId('room-name-field').fill(name);
    await page.getByTestId('room-name-submit').click();
    await page.locator('.room-title').filter({ hasText: name }).waitFor();
  }

  async invite(user) {
    const { page } = this;
    if (!(await page.getByTestId('invite-user').isVisible())) await page.getByTestId('show-members').click();
    await page.getByTestId('invite-user').click();
    await page.getByTestId('invite-field').fill(user);
    await page.getByTestId('invite-submit').click();
    await page.locator('dialog').waitFor({ state: 'detached' });
  }

  /** What has the focus, in a few words. */
  focus() {
    return this.page.evaluate(() => {
      const { activeElement: node } = document;
      return node.dataset.testid ?? node.id ?? node.tagName;
    });
  }

  shot(name) {
    return this.page.screenshot({ path: new URL(`out/${name}.png`, import.meta.url).pathname });
  }
}
