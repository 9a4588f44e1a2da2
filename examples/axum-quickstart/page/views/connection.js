// The line on top that says when the page is not connected. Connected is the normal state and says nothing.

import { el, setText } from './dom.js';
import { errorText } from './format.js';

const REASONS = {
  replaced: 'This account is open in too many places, so this one was disconnected.',
  signed_out: 'Signed out.',
};

export class ConnectionView {
  #root;
  #model;
  #until = 0;
  #timer = null;
  #text = el('span');
  #button = el('button.button.small', { type: 'button', hidden: true, onclick: () => this.#model.start() }, 'Connect again');

  constructor(root, model) {
    this.#root = root;
    this.#model = model;
    root.replaceChildren(this.#text, this.#button);
    model.addEventListener('connection', () => this.#changed());
    addEventListener('online', () => this.#render());
    addEventListener('offline', () => this.#render());
    this.#changed();
  }

  stop() {
    clearInterval(this.#timer);
    this.#root.hidden = true;
    this.#root.dataset.state = 'stopped';
  }

  #changed() {
    const { state, retryInMs } = this.#model.connection;
    clearInterval(this.#timer);
    if (state === 'waiting') {
      this.#until = Date.now() + (retryInMs ?? 0);
      this.#timer = setInterval(() => this.#render(), 500);
    }
    this.#render();
  }

  #render() {
    const { state, reason } = this.#model.connection;
    this.#root.dataset.state = state;
    this.#root.hidden = state === 'connected' && navigator.onLine;
    this.#button.hidden = state !== 'stopped';
    setText(this.#text, this.#words(state, reason));
  }

  #words(state, reason) {
    if (!navigator.onLine) return 'Offline. Messages are sent when you are back.';
    if (state === 'connecting') return 'Connecting…';
    if (state === 'waiting') {
      const seconds = Math.ceil((this.#until - Date.now()) / 1000);
      return seconds > 0 ? `Reconnecting in ${seconds} s…` : 'Reconnecting…';
    }
    if (state === 'stopped') {
      return REASONS[reason?.code ?? reason] ?? (reason?.message ? errorText(reason) : 'Not connected.');
    }
    return '';
  }
}
