// Plain HTTP: signing in as a guest, and the parts of the chat that need no live connection.

/** A refusal by the server, as it stands in the problem document. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code;
    this.detail = problem.detail;
  }
}

async function call(method, path, { token, body } = {}) {
  const headers = { accept: 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: 'no-store',
  });
  const text = await response.text();
  let parsed = {};
  try {
    parsed = text ? JSON.parse(text) : {};
  } catch {
    // A proxy's error page: the status says enough.
  }
  if (!response.ok) throw new ApiError(response.status, parsed);
  return parsed;
}

/** Signs in as a guest: `{token, user, name}`. */
export function signInAsGuest(name) {
  return call('POST', '/guest', { body: { name } });
}

/** Gets a new token for the same guest. */
export function renewGuest(token) {
  return call('GET', '/guest/renew', { token });
}

/** The REST side of the chat for one signed-in user. */
export class Api {
  #token;

  /** @param {() => Promise<string>} token gives the token for each call */
  constructor(token) {
    this.#token = token;
  }

  async #call(method, path, body) {
    return call(method, `/chat${path}`, { token: await this.#token(), body });
  }

  createRoom(name) {
    return this.#call('POST', '/rooms', { metadata: { name } });
  }

  invite(room, user) {
    return this.#call('PUT', `/rooms/${encodeURIComponent(room)}/members/${encodeURIComponent(user)}`, {});
  }

  makeOwner(room, user) {
    return this.#call('PUT', `/rooms/${encodeURIComponent(room)}/members/${encodeURIComponent(user)}`, { role: 'owner' });
  }

  leave(room) {
    return this.#call('DELETE', `/rooms/${encodeURIComponent(room)}/members/me`);
  }

  /** Who has read up to where. */
  markers(room) {
    return this.#call('GET', `/rooms/${encodeURIComponent(room)}/read?limit=100`);
  }

  unread(room) {
    return this.#call('GET', `/rooms/${encodeURIComponent(room)}/unread`);
  }

  search(query, { room, before } = {}) {
    const parameters = new URLSearchParams({ q: query, limit: '20' });
    if (room) parameters.set('room', room);
    if (before) parameters.set('before', before);
    return this.#call('GET', `/search?${parameters}`);
  }
}
