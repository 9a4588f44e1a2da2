// The middle: the room's title, its history, who is typing, and the composer.

import { coalesced, announce, el, iconButton, setText } from './dom.js';
import { displayName, errorText, oneLine, typingLine } from './format.js';
import { Composer } from './composer.js';
import { HistoryView } from './history.js';
import { editor, REACTIONS } from './message.js';

export class ConversationView {
  #root;
  #model;
  #ask;
  #room;
  #none;
  #title = el('h1.room-title', { dir: 'auto' });
  #subtitle = el('p.room-subtitle');
  #typing = el('div.typing', { role: 'status', data: { testid: 'typing' } });
  #picker = el('div.picker', { id: 'reactions', popover: 'auto', role: 'menu', 'aria-label': 'React' });

  constructor(root, model, { onBack, onMembers, ask }) {
    this.#root = root;
    this.#model = model;
    this.#ask = ask;
    this.history = new HistoryView(model, {
      seen: () => this.#seen(),
      pickReaction: (item, button) => this.#pick(item, button),
      react: (item, key, op) => model.client.react(model.current, item.id, key, op),
      edit: (item) => this.#edit(item),
      remove: (item) => this.#remove(item),
      retry: (item) => model.retry(model.room, item.clientId),
      discard: (item) => model.discard(model.room, item.clientId),
    });
    this.composer = new Composer(model);
    this.membersButton = iconButton('people', 'People', { onclick: onMembers, 'aria-controls': 'members', data: { testid: 'show-members' } });
    this.#room = el(
      'div.room-view',
      { hidden: true },
      el(
        'header.room-head',
        {},
        iconButton('back', 'Back to the rooms', { onclick: onBack, data: { testid: 'back' } }),
        el('div.room-titles', {}, this.#title, this.#subtitle),
        this.membersButton,
      ),
      this.history.element,
      this.#typing,
      this.composer.element,
    );
    this.#none = el('div.no-room', {}, el('p.muted', {}, 'Choose a room to read and write in.'));
    root.replaceChildren(this.#room, this.#none, this.#picker);
    this.#listen();
  }

  #listen() {
    const model = this.#model;
    const here = (handler) => (event) => event.detail.room === model.current && handler(event.detail);
    const render = coalesced(() => {
      this.history.render();
      this.#seen();
    });
    model.addEventListener('opened', () => this.#open());
    model.addEventListener('timeline', here((detail) => this.#changed(detail, render)));
    model.addEventListener('typing', here(() => this.#drawTyping()));
    for (const type of ['rooms', 'members', 'presence']) model.addEventListener(type, coalesced(() => this.#drawHead()));
    model.addEventListener('outbox', here(({ state, error, clientId }) => {
      // Edits, deletes and reactions have no row of their own to fail in.
      if (state === 'failed' && !model.room.items().some((item) => item.clientId === clientId)) this.composer.complain(errorText(error));
    }));
    for (const type of ['focus', 'visibilitychange']) addEventListener(type, () => this.#seen(), true);
    document.addEventListener('visibilitychange', () => this.#seen());
  }

  /** Says what went wrong, beside the composer. */
  say(error) {
    this.composer.complain(errorText(error));
  }

  #open() {
    const { room } = this.#model;
    this.#room.hidden = !room;
    this.#none.hidden = Boolean(room);
    this.#drawHead();
    this.composer.show(room);
    this.history.show(room);
    this.#drawTyping();
    if (room && matchMedia('(hover: hover)').matches) this.composer.focus();
  }

  #changed({ entry, sent }, render) {
    const { room, me } = this.#model;
    if (sent) {
      this.history.toNewest();
      return;
    }
    if (entry?.kind === 'chat' && entry.sender !== me) {
      if (!room.divider && !this.#attentive) room.divider = entry.id;
      this.history.noticeNew();
      announce(`${displayName(entry.sender)}: ${oneLine(entry)}`);
    }
    render();
  }

  get #attentive() {
    return document.visibilityState === 'visible' && document.hasFocus() && this.history.showsNewest;
  }

  /** What is in sight of somebody who looks has been read. */
  #seen() {
    const { room } = this.#model;
    if (room?.joined && this.#root.offsetParent !== null && this.#attentive) this.#model.markRead(room);
  }

  #drawHead() {
    const { room, presence } = this.#model;
    if (!room) return;
    setText(this.#title, room.name);
    const online = [...room.members.keys()].filter((user) => presence.get(user)?.online).length;
    const count = `${room.members.size}${room.moreMembers ? '+' : ''} ${room.members.size === 1 ? 'person' : 'people'}`;
    setText(this.#subtitle, room.members.size ? `${count}, ${online} online` : '');
    this.composer.refresh();
  }

  #drawTyping() {
    const users = [...(this.#model.room?.typing.keys() ?? [])];
    setText(this.#typing, typingLine(users));
    this.#typing.classList.toggle('is-on', users.length > 0);
  }

  #pick(item, button) {
    const choose = (key) => {
      this.#picker.hidePopover();
      const mine = item.reactions?.find((reaction) => reaction.key === key)?.users?.includes(this.#model.me);
      this.#model.client.react(this.#model.current, item.id, key, mine ? 'remove' : 'add');
      this.history.rowOf(item)?.querySelector('[data-testid=react]')?.focus({ preventScroll: true });
    };
    this.#picker.replaceChildren(
      ...REACTIONS.map((key) =>
        el('button.pick', { type: 'button', role: 'menuitem', 'aria-label': `React with ${key}`, onclick: () => choose(key), data: { testid: 'pick', key } }, key),
      ),
    );
    this.#picker.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const all = [...this.#picker.children];
      all.at((all.indexOf(document.activeElement) + step) % all.length).focus();
    };
    this.#picker.showPopover();
    const box = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.#picker;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - offsetWidth / 2), innerWidth - offsetWidth - 8);
    const above = box.top - offsetHeight - 6;
    this.#picker.style.left = `${left}px`;
    this.#picker.style.top = `${above > 8 ? above : box.bottom + 6}px`;
    this.#picker.firstChild.focus();
  }

  #edit(item) {
    const row = this.history.rowOf(item);
    if (!row) return;
    const { id: room, maxBodyChars } = this.#model.room;
    this.history.beginEdit(item);
    editor(row, item, maxBodyChars, (text) => {
      if (text !== null) this.#model.client.edit(room, item.id, { text });
      this.history.endEdit();
      this.composer.focus();
    });
  }

  async #remove(item) {
    const room = this.#model.current;
    const sure = await this.#ask({
      title: 'Delete this message?',
      text: 'It disappears for everybody in the room.',
      action: 'Delete',
      danger: true,
    });
    if (sure) this.#model.client.delete(room, item.id);
  }
}

