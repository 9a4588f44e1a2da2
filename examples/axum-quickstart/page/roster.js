// Who is in the rooms, who of them is there now, and who is typing.

const TYPING_SHOWN_MS = 5_000;
const PRESENCE_AT_ONCE = 200;
const MEMBERS_PAGE = 100;

export class Roster {
  presence = new Map();
  #model;

  constructor(model) {
    this.#model = model;
  }

  isOnline(user) {
    return Boolean(this.presence.get(user)?.online);
  }

  /** Whether what is known of who is there still holds: without a connection nobody tells. */
  get isCurrent() {
    return this.#model.connection.state === 'connected';
  }

  /** Loads the first members of a room, or those after `after`. */
  async load(room, after) {
    const { client } = this.#model;
    const answer = await client.request('members', { room: room.id, limit: MEMBERS_PAGE, ...(after && { after }) });
    if (!after) room.members.clear();
    for (const member of answer.members) this.#take(room, member);
    room.moreMembers = answer.next ?? null;
    this.#model.emit('members', { room: room.id });
    await this.#ask(answer.members.map((member) => member.user));
  }

  /** Somebody joined, left, or has another role. */
  onMember(room, member) {
    if (member.leftAt) {
      room.members.delete(member.user);
      room.receipts.forget(member.user);
    } else {
      this.#take(room, member);
    }
    this.#model.emit('members', { room: room.id });
    if (!member.leftAt && !this.presence.has(member.user)) this.#ask([member.user]).catch(() => {});
  }

  onPresence(users = []) {
    for (const presence of users) this.presence.set(presence.user, presence);
    this.#model.emit('presence');
  }

  onTyping(room, user, active) {
    if (user === this.#model.me) return;
    this.stopTyping(room, user);
    if (active) room.typing.set(user, setTimeout(() => this.stopTyping(room, user), TYPING_SHOWN_MS));
    this.#model.emit('typing', { room: room.id });
  }

  stopTyping(room, user) {
    if (!room.typing.has(user)) return;
    clearTimeout(room.typing.get(user));
    room.typing.delete(user);
    this.#model.emit('typing', { room: room.id });
  }

  #take(room, member) {
    room.members.set(member.user, member);
    if (member.user === this.#model.me && member.role) room.role = member.role;
  }

  async #ask(users) {
    for (let at = 0; at < users.length; at += PRESENCE_AT_ONCE) {
      const answer = await this.#model.client.request('presence', { users: users.slice(at, at + PRESENCE_AT_ONCE) });
      this.onPresence(answer.users);
    }
  }
}
