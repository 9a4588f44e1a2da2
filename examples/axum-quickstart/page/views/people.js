// The round picture of a person or a room: initials on a colour of its own.

import { el } from './dom.js';
import { displayName, hueOf, initials, nameTag } from './format.js';

export function avatar(user, extra = '') {
  return el(`span.avatar${extra}`, { hue: hueOf(user), 'aria-hidden': 'true' }, initials(user));
}

export function roomAvatar(room) {
  const sign = room.id === 'lobby' ? '#' : [...room.name.trim()][0]?.toLocaleUpperCase() ?? '#';
  return el('span.avatar.room-avatar', { hue: hueOf(room.id), 'aria-hidden': 'true' }, sign);
}

/** A name with the short part of the id that tells two people of one name apart. */
export function fullName(user) {
  return el('span.full-name', {}, el('bdi', {}, displayName(user)), el('span.tag', {}, nameTag(user)));
}
