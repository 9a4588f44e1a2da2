// How names, times and errors are put into words.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const LONG_DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const LONG_DAY_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
/** The longest line. */
const LINE = 2_000;
const SEGMENTS = new Intl.Segmenter();
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** Where the name in an id ends and the part begins that tells two people of one name apart. */
function splitId(user) {
  const hyphen = user.lastIndexOf('-');
  return hyphen > 0 ? [user.slice(0, hyphen), user.slice(hyphen)] : [user, ''];
}

/** The name in a user's id, which is ASCII: it holds names of any script in form encoding. */
export function displayName(user) {
  const [encoded] = splitId(user);
  try {
    // Characters that show as nothing could make one name look like another, or turn the text around.
    return decodeURIComponent(encoded.replaceAll('+', ' ')).replace(/\p{C}/gu, '') || encoded;
  } catch {
    return encoded;
  }
}

/** What tells two people of one name apart. */
export function nameTag(user) {
  return splitId(user)[1].slice(1);
}

/** A text of unknown direction that does not disturb the one around it. */
export function isolate(text) {
  return `\u2068${text}\u2069`;
}

/** A name within a sentence. */
export function nameIn(user) {
  return isolate(displayName(user));
}

/** “Ann, Bob and 3 more”: at most `most` names. */
export function nameList(users, most = 3) {
  const shown = users.length > most ? users.slice(0, most - 1) : users;
  const names = shown.map(nameIn);
  const rest = users.length - shown.length;
  if (rest > 0) names.push(`${rest} more`);
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** One or two letters for the avatar. */
export function initials(user) {
  const words = displayName(user).split(/[\s_.-]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...SEGMENTS.segment(word)][0].segment);
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

const minutes = new Map();

/** The time of day. Many messages share a minute, and formatting one is dear. */
export function clock(time) {
  const date = new Date(time);
  const minute = Math.floor(date.getTime() / 60_000);
  let text = minutes.get(minute);
  if (text === undefined) {
    if (minutes.size > 500) minutes.clear();
    text = CLOCK.format(date);
    minutes.set(minute, text);
  }
  return text;
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
  if (users.length === 0) return '';
  return `${nameList(users)} ${users.length === 1 ? 'is' : 'are'} typing…`;
}

/** What an entry says in one line, for the list of rooms and for search. */
export function oneLine(entry) {
  if (entry.deleted) return 'Message deleted';
  if (entry.kind === 'join') return `${nameIn(entry.user ?? entry.sender)} joined`;
  if (entry.kind === 'leave') return `${nameIn(entry.user ?? entry.sender)} left`;
  if (typeof entry.text === 'string') return entry.text.replace(/\s+/gu, ' ').slice(0, LINE);
  return entry.name ? `Shared: ${entry.name}` : 'Shared something';
}

const WORDS = {
  body_blank: 'A message needs some text.',
  body_too_long: 'This message is too long.',
  body_invalid: 'This message contains characters that cannot be stored.',
  rejected: 'This message was not accepted.',
  frame_too_large: 'This message is too long.',
  outbox_full: 'Too many messages are waiting to be sent. Wait until you are connected again.',
  rate_limited: 'That was a bit fast. Wait a moment and try again.',
  disconnected: 'There is no connection at the moment. Try again when you are connected.',
  busy: 'The server is busy. Try again in a moment.',
  unavailable: 'The chat cannot be reached at the moment. Try again soon.',
  timeout: 'The server took too long to answer. Try again.',
  forbidden: 'You are not allowed to do that here.',
  not_a_member: 'You are not a member of this room any more.',
  last_owner: 'You are the only owner of this room. Make somebody else an owner first.',
  room_not_found: 'This room does not exist.',
  room_inactive: 'This room is closed for new messages.',
  target_not_found: 'That message is no longer there.',
  message_not_found: 'That message is no longer there.',
  target_not_own: 'You can only change your own messages.',
  client_id_conflict: 'This message was already sent with another text.',
  limit_exceeded: 'That is more than the server allows.',
  invalid_name: 'A name has 1 to 24 letters, digits, spaces, - or _.',
  unauthenticated: 'Your session is no longer valid. Please sign in again.',
  internal: 'Something went wrong on the server. Try again in a moment.',
  other_user: 'This was written by somebody else who was signed in here.',
  unsupported: 'This server was built without that feature.',
};

/** Puts an error into words for the person in front of the page. */
export function errorText(error) {
  if (!error) return 'Something went wrong.';
  if (WORDS[error.code]) return WORDS[error.code];
  if (error instanceof TypeError) return 'The server cannot be reached. Check your connection.';
  return error.detail || error.message || 'Something went wrong.';
}
