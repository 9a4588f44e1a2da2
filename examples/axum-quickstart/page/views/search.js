// The search box and its results, which take the place of the list of rooms while there is a question.

import { el, iconButton, icon, setText } from './dom.js';
import { clock, dayTitle, displayName, errorText, oneLine } from './format.js';
import { avatar } from './people.js';

const PAUSE_MS = 250;
/** Characters shown before the first word that was found. */
const LEAD = 60;

export class SearchBox {
  #model;
  #onJump;
  #timer = null;
  #asked = 0;
  #next = null;
  onToggle = () => {};

  constructor(model, onJump) {
    this.#model = model;
    this.#onJump = onJump;
    this.input = el('input.field.search-field', {
      type: 'search',
      placeholder: 'Search messages',
      'aria-label': 'Search messages',
      autocomplete: 'off',
      dir: 'auto',
      oninput: () => this.#changed(),
      data: { testid: 'search' },
    });
    this.reset = iconButton('close', 'Clear search', { hidden: true, onclick: () => this.clear(), data: { testid: 'clear-search' } });
    this.status = el('p.muted.pad', { role: 'status', data: { testid: 'search-status' } });
    this.list = el('ul.search-results', { 'aria-label': 'Search results' });
    this.more = el('button.button.quiet.wide', { type: 'button', hidden: true, onclick: () => this.#search(true) }, 'More results');
    this.results = el('div.search-panel', { hidden: true }, this.status, this.list, this.more);
    this.element = el(
      'search.search',
      { onkeydown: (event) => this.#key(event) },
      el('div.search-box', {}, icon('search'), this.input, this.reset),
      this.results,
    );
  }

  clear() {
    this.input.value = '';
    this.#changed();
    this.input.focus();
  }

  #key(event) {
    if (event.key === 'Escape') {
      event.preventDefault();
      if (event.target === this.input) this.clear();
      else this.input.focus();
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const stops = [this.input, ...this.list.querySelectorAll('button')];
    const next = stops[stops.indexOf(event.target) + step];
    if (!next || !stops.includes(event.target)) return;
    event.preventDefault();
    next.focus();
  }

  #changed() {
    clearTimeout(this.#timer);
    const searching = this.input.value.trim().length > 0;
    this.reset.hidden = !searching;
    this.results.hidden = !searching;
    this.element.classList.toggle('is-searching', searching);
    this.onToggle(searching);
    this.#asked += 1;
    if (!searching) return;
    setText(this.status, 'Searching…');
    this.list.replaceChildren();
    this.more.hidden = true;
    this.#timer = setTimeout(() => this.#search(false), PAUSE_MS);
  }

  async #search(more) {
    this.#asked += 1;
    const asked = this.#asked;
    const query = this.input.value.trim();
    try {
      const before = more ? this.#next : undefined;
      const answer = await this.#model.api.search(query, { before });
      if (asked !== this.#asked) return;
      this.#next = answer.next ?? null;
      const first = this.list.childElementCount;
      this.list.append(...answer.messages.map((entry) => this.#result(entry, query)));
      const count = this.list.childElementCount;
      if (count === 0) setText(this.status, 'Nothing found.');
      else setText(this.status, `${count}${this.#next ? '+' : ''} ${count === 1 ? 'message' : 'messages'}`);
      // The button may be gone now, and the focus is not to go with it.
      if (more) this.list.children[first]?.querySelector('button').focus();
      this.more.hidden = !this.#next;
    } catch (error) {
      if (asked === this.#asked) setText(this.status, errorText(error));
    }
  }

  #result(entry, query) {
    const room = this.#model.rooms.get(entry.room);
    return el(
      'li',
      {},
      el(
        'button.room.result',
        { type: 'button', onclick: () => this.#onJump(entry), data: { testid: 'search-result', id: entry.id } },
        avatar(entry.sender),
        el(
          'span.room-lines',
          {},
          el(
            'span.room-line',
            {},
            el('span.room-name', { dir: 'auto' }, displayName(entry.sender)),
            el('span.room-time', {}, `${dayTitle(entry.createdAt)}, ${clock(entry.createdAt)}`),
          ),
          el('span.result-text', { dir: 'auto' }, highlighted(oneLine(entry), query)),
          el('span.result-room', { dir: 'auto' }, room?.name ?? entry.room),
        ),
      ),
    );
  }
}

/** The part of a text where the words of the question stand, with these marked. */
function highlighted(text, query) {
  const words = query.split(/\s+/u).map((word) => word.replace(/[^\p{L}\p{N}\p{M}]/gu, '')).filter(Boolean);
  if (words.length === 0) return [text];
  const pattern = new RegExp(`(${words.join('|')})`, 'iu');
  const at = text.search(pattern);
  const shown = at > LEAD ? `…${text.slice(at - LEAD)}` : text;
  return shown.split(new RegExp(pattern.source, 'giu')).map((part, index) => (index % 2 ? el('mark', {}, part) : part));
}
