// The right column: who is in the room, who of them is there now, and what one can do about it.

import { arrange, coalesced, el, iconButton, set, setText } from './dom.js';
import { displayName, errorText, lastSeen } from './format.js';
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
    this.invite = iconButton('invite', 'Invite somebody', { onclick: onInvite, data: { testid: 'invite-user' } });
    root.replaceChildren(
      el('header.members-head', {}, this.#title, this.invite, iconButton('close', 'Close', { onclick: onClose, data: { testid: 'close-members' } })),
      el('div.members-scroll', { tabindex: 0, role: 'group', 'aria-label': 'Who is here' }, this.#list, this.#status, this.#more),
      el('footer.members-foot', {}, this.leave),
    );
    root.addEventListener('keydown', (event) => event.key === 'Escape' && onClose());
    const render = coalesced(() => this.#render());
    for (const type of ['members', 'presence', 'opened', 'rooms', 'connection']) model.addEventListener(type, render);
    this.#clock = setInterval(render, MINUTE_MS);
    this.#render();
  }

  stop() {
    clearInterval(this.#clock);
  }

  async #loadMore() {
    const { room, roster } = this.#model;
    try {
      await roster.load(room, room.moreMembers);
      this.#status.hidden = true;
    } catch (error) {
      this.#status.hidden = false;
      setText(this.#status, errorText(error));
    }
  }

  #render() {
    const { room, roster } = this.#model;
    this.#root.classList.toggle('is-empty', !room);
    if (!room) return;
    const members = [...room.members.values()].sort(
      (a, b) => roster.isOnline(b.user) - roster.isOnline(a.user) || displayName(a.user).localeCompare(displayName(b.user)) || (a.user < b.user ? -1 : 1),
    );
    for (const user of this.#items.keys()) if (!room.members.has(user)) this.#items.delete(user);
    arrange(this.#list, members.map((member) => this.#item(member)));
    const online = members.filter((member) => roster.isOnline(member.user)).length;
    setText(this.#title, roster.isCurrent ? `People · ${online} online` : 'People');
    this.#more.hidden = !room.moreMembers;
    // Only what the server would allow; and everybody belongs to the lobby.
    this.invite.hidden = !room.isAtLeast('moderator');
    this.leave.hidden = room.id === 'lobby';
  }

  #item(member) {
    const { user, role } = member;
    const { me, roster } = this.#model;
    let item = this.#items.get(user);
    if (!item) {
      const status = el('span.member-status');
      const roleTag = el('span.role');
      const dot = el('span.dot', { 'aria-hidden': 'true' });
      const name = el('span.member-name', {}, fullName(user));
      if (user === me) name.append(el('span.you', {}, 'you'));
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
    const online = roster.isOnline(user);
    set(item.element, { data: { online: roster.isCurrent ? String(online) : 'unknown' } });
    const status = online ? 'Online' : lastSeen(roster.presence.get(user)?.lastSeen);
    setText(item.status, roster.isCurrent ? status : '');
    setText(item.roleTag, role && role !== 'member' ? role : '');
    return item.element;
  }
}
