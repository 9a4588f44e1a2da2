// What can be done with a message: one small bar for the whole history, which goes to the message under the pointer or
// with the focus, and the choice of reactions.

import { arrange, el, iconButton } from './dom.js';

export const REACTIONS = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👏', '🔥', '👀', '✅', '👎'];
const COLUMNS = 6;

export class Tools {
  #row = null;
  #item = null;

  /** `actions`: `react(item, key)`, `edit(item)`, `remove(item)`. */
  constructor(actions) {
    this.react = iconButton('smile', 'React', {
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
      onclick: () => this.#pick(this.#item, (key) => actions.react(this.#item, key)),
      data: { testid: 'react' },
    });
    this.edit = iconButton('edit', 'Edit', { onclick: () => actions.edit(this.#item), data: { testid: 'edit' } });
    this.remove = iconButton('trash', 'Delete', { onclick: () => actions.remove(this.#item), data: { testid: 'delete' } });
    this.element = el('div.tools', { role: 'group', 'aria-label': 'Actions' });
    this.picker = el('div.picker', { popover: 'auto', role: 'menu', 'aria-label': 'React' });
    this.picker.addEventListener('toggle', ({ newState }) => {
      this.react.setAttribute('aria-expanded', String(newState === 'open'));
    });
    this.picker.addEventListener('keydown', (event) => this.#pickerKey(event));
  }

  /** Whether somebody is using it where it stands. */
  get isBusy() {
    return this.element.contains(document.activeElement) || this.picker.matches(':popover-open');
  }

  /** Goes to a row, with what is possible there; nothing possible takes it away. */
  attach(row, item, { mayReact, mayEdit, mayDelete }) {
    const buttons = [mayReact && this.react, mayEdit && this.edit, mayDelete && this.remove].filter(Boolean);
    if (buttons.length === 0) return this.detach();
    this.#row = row;
    this.#item = item;
    arrange(this.element, buttons);
    const place = row.querySelector('.bubble');
    if (this.element.parentNode !== place) place.append(this.element);
    return undefined;
  }

  detach() {
    this.#row = null;
    this.element.remove();
    if (this.picker.matches(':popover-open')) this.picker.hidePopover();
  }

  get row() {
    return this.#row;
  }

  #pick(item, chosen) {
    const row = this.#row;
    const opener = document.activeElement;
    const choose = (key) => {
      this.picker.hidePopover();
      chosen(key);
      // The row may have been drawn anew meanwhile.
      (opener.isConnected ? opener : row).focus({ preventScroll: true });
    };
    this.picker.replaceChildren(
      ...REACTIONS.map((key) =>
        el('button.pick', { type: 'button', role: 'menuitem', tabindex: -1, 'aria-label': `React with ${key}`, onclick: () => choose(key), data: { testid: 'pick', key } }, key),
      ),
    );
    this.picker.showPopover();
    const box = this.react.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.picker;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - offsetWidth / 2), innerWidth - offsetWidth - 8);
    const above = box.top - offsetHeight - 6;
    this.picker.style.left = `${left}px`;
    this.picker.style.top = `${above > 8 ? above : box.bottom + 6}px`;
    this.picker.firstChild.focus();
  }

  #pickerKey(event) {
    const all = [...this.picker.children];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + COLUMNS, ArrowUp: at - COLUMNS, Home: 0, End: -1 }[event.key];
    if (event.key === 'Tab') this.picker.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length).focus();
  }
}
