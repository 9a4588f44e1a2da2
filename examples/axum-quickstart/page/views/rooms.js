// The left column: who I am, the search box, and my rooms with what is new in them.

import { announce } from './announcer.js';
import { arrange, coalesced, el, iconButton, set, setText } from './dom.js';
import { errorText, listTime, nameIn, oneLine, typingLine } from './format.js';
import { avatar, roomAvatar } from './people.js';
import { SearchBox } from './search.js';

export class RoomsView {
  #model;
  #items = new Map();
  #list = el('ul.room-list', { 'aria-label': 'My rooms' });
  #more = el('button.button.quiet.wide', { type: 'button', hidden: true, onclick: () => this.#loadMore() }, 'Load more rooms');
  #empty = el('p.muted.pad', {}, 'Loading your rooms…');

  constructor(root, model, { onOpen, onCreate, onSignOut, onJump }) {
    this.#model = model;
    this.onOpen = onOpen;
    const search = new SearchBox(model, onJump);
    const browse = el('div.rooms-browse', {}, this.#list, this.#empty, this.#more);
    search.onToggle = (searching) => set(browse, { hidden: searching });
    root.replaceChildren(
      el(
        'header.rooms-head',
        {},
        avatar(model.me),
        el('div.me', {}, el('strong.me-name', { dir: 'auto' }, model.session.name), copyId(model.me)),
        iconButton('plus', 'Create a room', { onclick: onCreate, data: { testid: 'create-room' } }),
        iconButton('exit', 'Sign out', { onclick: onSignOut, data: { testid: 'sign-out' } }),
      ),
      search.element,
      browse,
    );
    const render = coalesced(() => this.#render());
    for (const type of ['rooms', 'opened', 'typing']) model.addEventListener(type, render);
    this.#render();
  }

  async #loadMore() {
    set(this.#more, { disabled: true });
    try {
      await this.#model.loadRooms(this.#model.moreRooms);
    } catch (error) {
      setText(this.#empty, errorText(error));
    } finally {
      set(this.#more, { disabled: false });
    }
  }

  #render() {
    const model = this.#model;
    const rooms = model.sortedRooms();
    for (const id of this.#items.keys()) if (!model.rooms.has(id)) this.#items.delete(id);
    arrange(this.#list, rooms.map((room) => this.#item(room)));
    this.#empty.hidden = rooms.length > 0;
    if (model.roomsLoaded) setText(this.#empty, 'You are in no room yet. Create one, or ask to be invited.');
    this.#more.hidden = !model.moreRooms;
    const unread = rooms.reduce((sum, room) => sum + room.unread, 0);
    const title = model.room ? `${model.room.name} · Chat` : 'Chat';
    document.title = unread ? `(${unread}) ${title}` : title;
  }

  #item(room) {
    let item = this.#items.get(room.id);
    if (!item) {
      item = this.#make(room);
      this.#items.set(room.id, item);
    }
    const current = room.id === this.#model.current;
    set(item.button, { 'aria-current': current ? 'page' : null, data: { unread: String(room.unread) } });
    setText(item.name, room.name);
    setText(item.time, room.preview ? listTime(room.preview.createdAt) : '');
    const typing = typingLine([...room.typing.keys()]);
    setText(item.preview, typing || this.#preview(room));
    item.preview.classList.toggle('is-typing', Boolean(typing));
    item.badge.hidden = room.unread === 0;
    setText(item.badge, room.unread > 99 ? '99+' : String(room.unread));
    set(item.badge, { 'aria-label': `${room.unread} unread` });
    return item.element;
  }

  #preview(room) {
    const { preview } = room;
    if (!preview) return 'No messages yet';
    const line = oneLine(preview);
    if (preview.kind === 'join' || preview.kind === 'leave') return line;
    return preview.sender === this.#model.me ? `You: ${line}` : `${nameIn(preview.sender)}: ${line}`;
  }

  #make(room) {
    const name = el('span.room-name', { dir: 'auto' });
    const time = el('span.room-time');
    const preview = el('span.room-preview', { dir: 'auto' });
    const badge = el('span.badge', { role: 'img' });
    const button = el(
      'button.room',
      { type: 'button', onclick: () => this.onOpen(room.id), data: { testid: 'room-item', room: room.id } },
      roomAvatar(room),
      el('span.room-lines', {}, el('span.room-line', {}, name, time), el('span.room-line', {}, preview, badge)),
    );
    return { element: el('li', {}, button), button, name, time, preview, badge };
  }
}

/** For others to invite one by: names are not unique. */
function copyId(user) {
  const label = el('span', {}, 'Copy my id');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(user);
      setText(label, 'Copied');
      announce('Your id was copied.');
      setTimeout(() => setText(label, 'Copy my id'), 2_000);
    } catch {
      // Without leave to write the clipboard the id is shown, to be copied by hand.
      setText(label, user);
      getSelection().selectAllChildren(label);
    }
  };
  return el('button.me-id', { type: 'button', title: user, onclick: copy, data: { testid: 'copy-id', user } }, label);
}

