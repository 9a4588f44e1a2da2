// Many people who write a lot, without a page: to make a long history in little time.

const IN_A_ROW = 20;
let filled = 0;

/** Signs `count` guests in over REST. */
export async function guests(url, count) {
  const all = [];
  for (let n = 1; n <= count; n += 1) all.push(await guest(url, `Writer ${n}`));
  return all;
}

export async function guest(url, name) {
  const response = await fetch(`${url}/guest`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }) });
  if (!response.ok) throw new Error(`no guest: ${response.status} ${await response.text()}`);
  return response.json();
}

export function rest(url, { token }, method, path, body) {
  const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
  return fetch(`${url}/chat${path}`, { method, headers, body: body && JSON.stringify(body) });
}

/** One message, as often as it takes. */
export async function post(url, author, room, clientId, text) {
  for (;;) {
    const response = await rest(url, author, 'POST', `/rooms/${room}/messages`, { clientId, text });
    const answer = await response.json();
    if (response.ok) return answer;
    if (!answer.retryable) throw new Error(JSON.stringify(answer));
    await new Promise((resolve) => setTimeout(resolve, answer.retryAfterMs ?? 50));
  }
}

/** `count` messages, a few in a row by each of the authors in turn; gives `{id, user}` of each. */
export async function fill(url, authors, room, count, textOf) {
  const stored = [];
  filled += 1;
  const round = filled;
  for (let n = 0; n < count; n += IN_A_ROW) {
    const author = authors[(n / IN_A_ROW) % authors.length];
    const numbers = Array.from({ length: Math.min(IN_A_ROW, count - n) }, (_, at) => n + at + 1);
    const answers = await Promise.all(numbers.map((number) => post(url, author, room, `n-${round}-${number}`, textOf(number))));
    stored.push(...answers.map(({ id }) => ({ id, user: author.user })));
  }
  return stored;
}

/** Runs commands over one WebSocket of the author's, within a page, because there every browser has WebSockets. */
export function command(page, author, frames) {
  return page.evaluate(async ({ token, frames: commands }) => {
    const socket = new WebSocket(`ws://${location.host}/chat/ws`);
    const waiting = new Map();
    const ask = (frame, id) => new Promise((resolve) => {
      waiting.set(id, resolve);
      socket.send(JSON.stringify({ ...frame, id }));
    });
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      waiting.get(frame.reply)?.(frame);
    };
    await new Promise((resolve) => (socket.onopen = resolve));
    await ask({ type: 'connect', token }, 1);
    let id = 1;
    for (const frame of commands) {
      for (;;) {
        id += 1;
        const answer = await ask(frame, id);
        if (answer.type !== 'error') break;
        if (!answer.retryable) throw new Error(JSON.stringify(answer));
        await new Promise((resolve) => setTimeout(resolve, answer.retryAfterMs ?? 50));
      }
    }
    socket.close();
  }, { token: author.token, frames });
}
