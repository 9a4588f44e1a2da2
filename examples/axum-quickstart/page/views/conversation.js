// The middle: the room's title, its history, who is typing, and the composer.

import { announce, announceMessage } from './announcer.js';
import { Composer } from './composer.js';
import { coalesced, el, iconButton, setText } from './dom.js';
import { errorText, nameIn, oneLine, typingLine } from './format.js';
import { HistoryView } from './history.js';
import { onMessages } from './messagekeys.js';

export class ConversationView {
  #root;
  #model;
  #ask;
  #room;
  #none;
  #title = el('h2.room-title', { dir: 'auto' });
  #subtitle = el('p.room-subtitle');
  #typing = el('div.typing', { data: { testid: 'typing' } });

  /** `ask(question)` promises whether somebody is sure. */
  constructor(root, model, { onBack, onMembers, ask }) {
    this.#root = root;
    this.#model = model;
    this.#ask = ask;
    this.history = new HistoryView(model, { seen: () => this.#seen(), failed: (error) => this.say(error) });
    this.composer = new Composer(model, { onUp: () => this.history.rows.active?.focus() });
    this.tools = onMessages(this.history, {
      react: (item, key) => this.#react(item, key),
      edit: (item) => this.#edit(item),
      remove: (item) => this.#remove(item),
      retry: (item) => model.retry(model.room, item.clientId),
      discard: (item) => model.discard(model.room, item.clientId),
      leave: () => this.composer.focus(),
    });
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
    root.replaceChildren(this.#room, this.#none, this.tools.picker);
    this.#listen();
  }

  #listen() {
    const model = this.#model;
    const here = (handler) => (event) => event.detail.room === model.current && handler(event.detail);
    const render = coalesced(() => this.history.render());
    model.isAttended = () => this.#attentive;
    model.addEventListener('opened', () => this.#open());
    model.addEventListener('timeline', here((detail) => this.#changed(detail, render)));
    model.addEventListener('receipts', here(render));
    model.addEventListener('typing', here(() => this.#drawTyping()));
    const head = coalesced(() => this.#drawHead());
    for (const type of ['rooms', 'members', 'presence', 'connection']) model.addEventListener(type, head);
    model.addEventListener('rooms', render);
    model.addEventListener('members', here(render));
    model.addEventListener('outbox', here((detail) => this.#onOutbox(detail)));
    for (const type of ['focus', 'visibilitychange']) addEventListener(type, () => this.#seen(), true);
  }

  /** Says what went wrong, beside the composer. */
  say(error) {
    this.composer.complain(errorText(error));
  }

  #open() {
    const { room } = this.#model;
    this.#room.hidden = !room;
    this.#none.hidden = Boolean(room);
    this.tools.detach();
    this.#drawHead();
    this.composer.show(room);
    this.history.show(room);
    this.#drawTyping();
    if (room && matchMedia('(hover: hover)').matches) this.composer.focus();
  }

  #changed({ entry, sent, replaced }, render) {
    if (sent) {
      this.history.toNewest();
      return;
    }
    if (replaced) {
      this.history.replaced();
      return;
    }
    if (entry?.kind === 'chat' && entry.sender !== this.#model.me) {
      this.history.noticeNew();
      announceMessage(`${nameIn(entry.sender)}: ${oneLine(entry)}`);
    }
    render();
  }

  /** A message that was not sent says so in its row; edits, deletes and reactions have none of their own. */
  #onOutbox({ state, error, command }) {
    if (state !== 'failed') return;
    if (command === 'send') announce(`Your message was not sent. ${errorText(error)}`);
    else this.say(error);
  }

  get #attentive() {
    return document.visibilityState === 'visible' && document.hasFocus() && this.#root.offsetParent !== null && this.history.showsNewest;
  }

  /** What is in sight of somebody who looks has been read. */
  #seen() {
    const { room } = this.#model;
    if (room?.joined && this.#attentive) this.#model.reading.markRead(room);
  }

  #drawHead() {
    const { room, roster } = this.#model;
    if (!room) return;
    setText(this.#title, room.name);
    const online = [...room.members.keys()].filter((user) => roster.isOnline(user)).length;
    const count = `${room.members.size}${room.moreMembers ? '+' : ''} ${room.members.size === 1 ? 'person' : 'people'}`;
    const there = roster.isCurrent ? `, ${online} online` : '';
    setText(this.#subtitle, room.members.size ? `${count}${there}` : '');
    this.composer.refresh();
  }

  #drawTyping() {
    const users = [...(this.#model.room?.typing.keys() ?? [])];
    setText(this.#typing, typingLine(users));
    this.#typing.classList.toggle('is-on', users.length > 0);
  }

  #react(item, key) {
    const { current, client, me } = this.#model;
    const mine = item.reactions?.find((reaction) => reaction.key === key)?.users?.includes(me);
    client.react(current, item.id, key, mine ? 'remove' : 'add');
  }

  #edit(item) {
    const { room, client } = this.#model;
    const row = this.history.rows.withId(item.id);
    if (!row) return;
    this.tools.detach();
    this.history.rows.edit(row, room.maxBodyChars, (text, shown) => {
      if (text !== null) client.edit(room.id, item.id, { text });
      (shown ?? this.composer.field).focus({ preventScroll: true });
    });
    row.scrollIntoView({ block: 'nearest' });
  }

  async #remove(item) {
    const { current, client } = this.#model;
    const sure = await this.#ask({
      title: 'Delete this message?',
      text: 'It disappears for everybody in the room.',
      action: 'Delete',
      danger: true,
    });
    if (!sure) return;
    client.delete(current, item.id);
    this.history.rows.withId(item.id)?.focus({ preventScroll: true });
  }
}
