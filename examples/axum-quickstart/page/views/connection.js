// The line on top that says when the page is not connected. Connected is the normal state and says nothing.

import { announce } from './announcer.js';
import { el, setText } from './dom.js';
import { errorText } from './format.js';

const REASONS = {
  replaced: 'This account is open in too many places, so this one was disconnected.',
  closed: 'The session was ended.',
  signed_out: 'Signed out.',
};

export class ConnectionView {
  #root;
  #model;
  #until = 0;
  #timer = null;
  #lost = false;
  #text = el('span', { data: { testid: 'connection-text' } });
  #button = el('button.button.small', { type: 'button', hidden: true, onclick: () => this.#model.start() });
  #redraw = () => this.#render();
  #online = () => {
    this.#render();
    if (this.#model.connection.state === 'waiting') this.#model.start();
  };

  constructor(root, model) {
    this.#root = root;
    this.#model = model;
    root.replaceChildren(this.#text, this.#button);
    model.addEventListener('connection', () => this.#changed());
    addEventListener('online', this.#online);
    addEventListener('offline', this.#redraw);
    this.#changed();
  }

  stop() {
    clearInterval(this.#timer);
    removeEventListener('online', this.#online);
    removeEventListener('offline', this.#redraw);
    this.#root.hidden = true;
    this.#root.dataset.state = 'stopped';
  }

  #changed() {
    const { state, retryInMs } = this.#model.connection;
    clearInterval(this.#timer);
    if (state === 'waiting') {
      this.#until = Date.now() + (retryInMs ?? 0);
      this.#timer = setInterval(this.#redraw, 250);
    }
    this.#render();
    this.#announce(state);
  }

  /** The countdown is for the eye; the ear is told once that the connection was lost, and once that it is back. */
  #announce(state) {
    if (!this.#lost && (state === 'waiting' || state === 'stopped')) {
      this.#lost = true;
      announce(state === 'waiting' ? 'The connection was lost. Reconnecting.' : this.#text.textContent);
    } else if (this.#lost && state === 'connected') {
      this.#lost = false;
      announce('Connected again.');
    }
  }

  #render() {
    const { state, reason, message } = this.#model.connection;
    this.#root.dataset.state = state;
    this.#root.hidden = state === 'connected' && navigator.onLine;
    this.#button.hidden = state !== 'stopped' && state !== 'waiting';
    setText(this.#button, state === 'waiting' ? 'Try now' : 'Connect again');
    setText(this.#text, this.#words(state, reason, message));
  }

  #words(state, reason, message) {
    if (!navigator.onLine) return 'You are offline. Messages are sent when you are back.';
    if (state === 'connecting') return 'Connecting…';
    if (state === 'waiting') {
      const seconds = Math.ceil((this.#until - Date.now()) / 1000);
      return seconds > 0 ? `No connection. Trying again in ${seconds} s…` : 'No connection. Trying again…';
    }
    if (state === 'stopped') return REASONS[reason] ?? (reason ? errorText({ code: reason, message }) : 'Not connected.');
    return '';
  }
}
