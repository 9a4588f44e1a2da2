// Where one writes. Enter sends, Shift+Enter begins a new line; the draft of each room is kept.

import { el, icon, set, setText } from './dom.js';

const TYPING_EVERY_MS = 3_000;
/** How near to the limit the counter appears. */
const COUNT_FROM = 0.9;

export class Composer {
  #model;
  #room = null;
  #typedAt = 0;
  #onUp;
  #counter = el('span.counter', { 'aria-live': 'polite', hidden: true, data: { testid: 'counter' } });
  #problem = el('span.problem', { id: 'composer-problem', role: 'alert', data: { testid: 'composer-problem' } });

  /** `onUp()`: the key that leads from an empty field to the messages. */
  constructor(model, { onUp }) {
    this.#model = model;
    this.#onUp = onUp;
    this.field = el('textarea.composer-field', {
      id: 'composer',
      rows: 1,
      dir: 'auto',
      'aria-label': 'Message',
      'aria-describedby': 'composer-problem composer-hint',
      enterkeyhint: 'send',
      oninput: () => this.#changed(),
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#stopTyping(),
      data: { testid: 'composer' },
    });
    this.button = el(
      'button.send-button',
      { type: 'submit', 'aria-label': 'Send', title: 'Send', data: { testid: 'send' } },
      icon('send'),
    );
    this.element = el(
      'form.composer',
      { onsubmit: (event) => this.#submit(event), 'aria-label': 'Write a message' },
      el('div.composer-box', {}, this.field, this.button),
      el(
        'div.composer-foot',
        {},
        this.#problem,
        el('span.hint', { id: 'composer-hint' }, 'Enter sends, Shift + Enter begins a new line, ↑ goes to the messages'),
        this.#counter,
      ),
    );
  }

  /** Turns to another room, and brings its draft back. */
  show(room) {
    if (this.#room) {
      this.#room.draft = this.field.value;
      this.#stopTyping();
    }
    this.#room = room;
    this.complain('');
    this.field.value = room?.draft ?? '';
    this.refresh();
    this.#changed(false);
  }

  /** The room's name or state, or one's role in it, may have changed. */
  refresh() {
    set(this.field, { disabled: !this.#open, placeholder: this.#invitation() });
    this.#enable();
  }

  get #open() {
    return Boolean(this.#room?.active && this.#room.isAtLeast('member'));
  }

  #invitation() {
    if (!this.#room?.active) return 'This room is closed for new messages';
    return this.#open ? `Message ${this.#room.name}` : 'You can only read in this room';
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }

  /** Says in words why a message was not taken. */
  complain(text) {
    setText(this.#problem, text);
  }

  get #limit() {
    return this.#room?.maxBodyChars ?? 1000;
  }

  #length() {
    return [...this.field.value.trim()].length;
  }

  #enable() {
    const length = this.#length();
    set(this.button, { disabled: !this.#open || length === 0 || length > this.#limit });
  }

  #changed(byPerson = true) {
    const length = this.#length();
    const over = length > this.#limit;
    this.#counter.hidden = length < this.#limit * COUNT_FROM;
    setText(this.#counter, `${length} / ${this.#limit}`);
    this.#counter.classList.toggle('is-over', over);
    set(this.field, { 'aria-invalid': over ? 'true' : null });
    setText(this.#problem, over ? `Too long by ${length - this.#limit} characters.` : '');
    this.#grow();
    this.#enable();
    if (!byPerson || !this.#room) return;
    if (length === 0) this.#stopTyping();
    else if (Date.now() - this.#typedAt >= TYPING_EVERY_MS) {
      this.#typedAt = Date.now();
      this.#model.client.typing(this.#room.id, true);
    }
  }

  #grow() {
    this.field.style.height = 'auto';
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  #stopTyping() {
    if (!this.#typedAt || !this.#room) return;
    this.#typedAt = 0;
    this.#model.client.typing(this.#room.id, false);
  }

  #key(event) {
    // While an input method is open, its keys belong to it.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      this.element.requestSubmit();
    } else if (event.key === 'ArrowUp' && this.field.value === '') {
      event.preventDefault();
      this.#onUp();
    }
  }

  #submit(event) {
    event.preventDefault();
    const text = this.field.value.trim();
    const length = [...text].length;
    if (!this.#open || length === 0 || length > this.#limit) return;
    this.field.value = '';
    // The message itself tells the others that the typing is over.
    this.#typedAt = 0;
    this.#model.send(this.#room, text);
    this.#changed(false);
    this.focus();
  }
}
