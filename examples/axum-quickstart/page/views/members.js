// The right column: who is in the room, who of them is there now, and what one can do about it.

import { arrange, coalesced, el, iconButton, set, setText } from './dom.js';
import { errorText, lastSeen } from './format.js';
import { avatar, fullName } from './people.js';

const MINUTE_MS = 60_000;

export class MembersView {
  #root;
  #model;
  #items = new Map();
  #clock;
  #list = el('ul.member-list', { 'aria-label': 'Members' });
  #title = el('h2', {}, 'People');
  #status = el('p.muted.pad', { role: 'status', hidden: true });
  #more = el('button.button.quiet.wide', { type: 'button', hidden: true, onclick: () => this.#loadMore() }, 'Show more');

  constructor(root, model, { onInvite, onLeave, onClose }) {
    this.#root = root;
    this.#model = model;
    this.leave = el('button.button.quiet.danger.wide', { type: 'button', onclick: onLeave, data: { testid: 'leave-room' } }, 'Leave this room');
    root.replaceChildren(
      el(
        'header.members-head',
        {},
        this.#title,
        iconButton('invite', 'Invite somebody', { onclick: onInvite, data: { testid: 'invite-user' } }),
        iconButton('close', 'Close', { onclick: onClose, data: { testid: 'close-members' } }),
      ),
      el('div.members-scroll', {}, this.#list, this.#status, this.#more),
      el('footer.members-foot', {}, this.leave),
    );
    root.addEventListener('keydown', (event) => event.key === 'Escape' && onClose());
    const render = coalesced(() => this.#render());
    for (const type of ['members', 'presence', 'opened', 'rooms']) model.addEventListener(type, render);
    this.#clock = setInterval(render, MINUTE_MS);
    this.#render();
  }

  stop() {
    clearInterval(this.#clock);
  }

  async #loadMore() {
    const { room } = this.#model;
    try {
      await this.#model.loadMembers(room, room.moreMembers);
      this.#status.hidden = true;
    } catch (error) {
      this.#status.hidden = false;
      setText(this.#status, errorText(error));
    }
  }

  #online(user) {
    return Boolean(this.#model.presence.get(user)?.online);
  }

  #render() {
    const { room } = this.#model;
    this.#root.classList.toggle('is-empty', !room);
    if (!room) return;
    const members = [...room.members.values()].sort(
      (a, b) => this.#online(b.user) - this.#online(a.user) || a.user.localeCompare(b.user),
    );
    for (const user of this.#items.keys()) if (!room.members.has(user)) this.#items.delete(user);
    arrange(this.#list, members.map((member) => this.#item(member)));
    const online = members.filter((member) => this.#online(member.user)).length;
    setText(this.#title, `People · ${online} online`);
    this.#more.hidden = !room.moreMembers;
    // Everybody belongs to the lobby.
    this.leave.hidden = room.id === 'lobby';
  }

  #item(member) {
    const { user, role } = member;
    let item = this.#items.get(user);
    if (!item) {
      const status = el('span.member-status');
      const roleTag = el('span.role');
      const dot = el('span.dot', { 'aria-hidden': 'true' });
      const name = el('span.member-name', {}, fullName(user));
      if (user === this.#model.me) name.append(el('span.you', {}, 'you'));
      const picture = el('span.avatar-box', {}, avatar(user), dot);
      const element = el(
        'li.member',
        { data: { testid: 'member', user } },
        picture,
        el('span.member-lines', {}, name, status),
        roleTag,
      );
      item = { element, status, roleTag };
      this.#items.set(user, item);
    }
    const presence = this.#model.presence.get(user);
    const online = this.#online(user);
    set(item.element, { data: { online: String(online) } });
    setText(item.status, online ? 'Online' : lastSeen(presence?.lastSeen));
    setText(item.roleTag, role && role !== 'member' ? role : '');
    return item.element;
  }
}
