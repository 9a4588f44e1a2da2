// Who is signed in. It lives in the tab, so two tabs can be two people.

import { renewGuest } from './api.js';

const KEY = 'chat.session';
const UNSENT_KEY = 'chat.unsent';

/** A token with less than this left is renewed before it is used. */
const RENEW_BEFORE_MS = 10_000;

/** When a token ends, in milliseconds, if it says so itself. The server alone decides whether it holds. */
function expiryOf(token) {
  try {
    const claims = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const { exp } = JSON.parse(atob(claims));
    return typeof exp === 'number' ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}

export class Session {
  /** Keeps what is not yet sent over a reload. */
  unsent = {
    get: () => sessionStorage.getItem(UNSENT_KEY),
    set: (text) => sessionStorage.setItem(UNSENT_KEY, text),
  };
  #data;
  #renewing = null;
  #given = null;
  #onEnd;

  /** @param {() => void} onEnd is called when the server no longer takes the token */
  constructor(data, onEnd) {
    this.#data = data;
    this.#onEnd = onEnd;
  }

  static load() {
    try {
      const data = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
      return data?.token && data?.user ? data : null;
    } catch {
      return null;
    }
  }

  static save(data) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(data));
    } catch {
      // Without storage the session lasts until the page is closed.
    }
  }

  static clear() {
    try {
      sessionStorage.removeItem(KEY);
      sessionStorage.removeItem(UNSENT_KEY);
    } catch {
      // Nothing was stored then either.
    }
  }

  get user() {
    return this.#data.user;
  }

  get name() {
    return this.#data.name;
  }

  /** A token that holds for at least a moment. */
  async token() {
    const left = expiryOf(this.#data.token) - Date.now();
    if (left < RENEW_BEFORE_MS) await this.#renew();
    return this.#data.token;
  }

  /**
   * A token for the live connection: at first the one at hand; whoever asks again needs another, because the one given
   * expires or was refused. Throws while there is none, so that the asker tries again later.
   */
  async connectionToken() {
    const given = this.#given;
    if (given === this.#data.token || expiryOf(this.#data.token) - Date.now() < RENEW_BEFORE_MS) await this.#renew();
    if (given === this.#data.token) throw new Error('no new token could be had');
    this.#given = this.#data.token;
    return this.#given;
  }

  #renew() {
    this.#renewing ??= (async () => {
      try {
        const renewed = await renewGuest(this.#data.token);
        this.#data = { ...this.#data, ...renewed };
        Session.save(this.#data);
      } catch (error) {
        // Without the server the old token is still the best there is; a refusal ends the session.
        if (error.status === 401 || error.status === 403) this.#onEnd();
      } finally {
        this.#renewing = null;
      }
    })();
    return this.#renewing;
  }
}
