// How names, times and errors are put into words.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const LONG_DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const LONG_DAY_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** The name shown for a user: what stands before the last hyphen of the id. */
export function displayName(user) {
  const hyphen = user.lastIndexOf('-');
  return hyphen > 0 ? user.slice(0, hyphen) : user;
}

/** One or two letters for the avatar. */
export function initials(user) {
  const words = displayName(user).split(/[\s_.-]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join('').toLocaleUpperCase() || '?';
}

/** The colour of a user, as a hue that is the same on every device. */
export function hueOf(user) {
  let hash = 2166136261;
  for (const char of user) hash = Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0;
  return (hash % 24) * 15;
}

/** The days between `date` and today by the calendar of this device: 0 today, 1 yesterday. */
function daysAgo(date, now = new Date()) {
  const midnight = (of) => Date.UTC(of.getFullYear(), of.getMonth(), of.getDate());
  return Math.round((midnight(now) - midnight(date)) / 86_400_000);
}

/** A text that is the same for all times of one day. */
export function dayKey(time) {
  return new Date(time).toDateString();
}

export function dayTitle(time) {
  const date = new Date(time);
  const days = daysAgo(date);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days > 300 ? LONG_DAY_YEAR.format(date) : LONG_DAY.format(date);
}

export function clock(time) {
  return CLOCK.format(new Date(time));
}

export function fullTime(time) {
  return FULL.format(new Date(time));
}

/** The time in the list of rooms: short, and shorter the longer ago. */
export function listTime(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '';
  const days = daysAgo(date);
  if (days <= 0) return CLOCK.format(date);
  return days < 7 ? WEEKDAY.format(date) : SHORT_DAY.format(date);
}

export function lastSeen(time) {
  if (!time) return 'Offline';
  const minutes = Math.floor((Date.now() - new Date(time).getTime()) / 60_000);
  if (minutes < 1) return 'Last seen just now';
  if (minutes < 60) return `Last seen ${minutes} min ago`;
  const days = daysAgo(new Date(time));
  if (days === 0) return `Last seen at ${clock(time)}`;
  return days === 1 ? `Last seen yesterday at ${clock(time)}` : `Last seen ${SHORT_DAY.format(new Date(time))}`;
}

export function typingLine(users) {
  const names = users.map(displayName);
  if (names.length === 0) return '';
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return `${names[0]}, ${names[1]} and ${names.length - 2} more are typing…`;
}

/** What an entry says in one line, for the list of rooms and for search. */
export function oneLine(entry) {
  if (entry.deleted) return 'Message deleted';
  if (entry.kind === 'join') return `${displayName(entry.user ?? entry.sender)} joined`;
  if (entry.kind === 'leave') return `${displayName(entry.user ?? entry.sender)} left`;
  if (typeof entry.text === 'string') return entry.text.replace(/\s+/gu, ' ').slice(0, 200);
  return entry.name ? `Shared: ${entry.name}` : 'Shared something';
}

const WORDS = {
  body_blank: 'A message needs some text.',
  body_too_long: 'This message is too long.',
  body_invalid: 'This message contains characters that cannot be stored.',
  rate_limited: 'You are sending quickly. Wait a moment and try again.',
  busy: 'The server is busy. Try again in a moment.',
  unavailable: 'The chat cannot be reached at the moment. Try again soon.',
  timeout: 'The server took too long to answer. Try again.',
  forbidden: 'You are not allowed to do that here.',
  not_a_member: 'You are not a member of this room any more.',
  room_not_found: 'This room does not exist.',
  room_inactive: 'This room is closed for new messages.',
  target_not_found: 'That message is no longer there.',
  message_not_found: 'That message is no longer there.',
  target_not_own: 'You can only change your own messages.',
  client_id_conflict: 'This message was already sent with another text.',
  limit_exceeded: 'That is more than the server allows.',
  unsupported: 'This server was built without that feature.',
};

/** Puts an error into words for the person in front of the page. */
export function errorText(error) {
  if (!error) return 'Something went wrong.';
  if (WORDS[error.code]) return WORDS[error.code];
  if (error instanceof TypeError) return 'The server cannot be reached. Check your connection.';
  return error.detail || error.message || 'Something went wrong.';
}
