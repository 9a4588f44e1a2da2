// One message as it stands in the history, and the other things that stand there.

import { arrange, el, icon } from './dom.js';
import { clock, dayTitle, displayName, errorText, fullTime, hueOf, nameIn, nameList, nameTag } from './format.js';
import { avatar } from './people.js';
import { isOnlyEmoji, richText } from './text.js';

/** The longest text that is read out when a message gets the focus. */
const READ_OUT = 400;

export function daySeparator(time) {
  return el('div.day', { role: 'separator', 'aria-label': dayTitle(time), data: { testid: 'day-separator' } }, el('span', {}, dayTitle(time)));
}

export function unreadDivider() {
  return el('div.unread-line', { role: 'separator', 'aria-label': 'New messages', data: { testid: 'unread-divider' } }, el('span', {}, 'New messages'));
}

/** Somebody came or went. */
export function noticeRow(item) {
  const who = el('bdi', {}, displayName(item.user ?? item.sender ?? ''));
  const what = item.kind === 'join' ? ' joined the room' : ' left the room';
  return el('div.event', { title: fullTime(item.createdAt), data: { seq: item.seq, id: item.id } }, who, what);
}

/** A message without content; `fillMessage` gives and changes it. */
export function messageRow() {
  return el('article.message', { tabindex: -1, data: { testid: 'message' } });
}

/** Puts the time in full beside the pointer. Not before it is there: most messages are only scrolled by. */
export function tellTime(row, item) {
  const edited = item.edited && !item.deleted ? `, edited ${fullTime(item.edited.at)}` : '';
  row.querySelector('time')?.setAttribute('title', `${fullTime(item.createdAt)}${edited}`);
}

/** `place` says whose it is, where in its group it stands, how far it got and who has seen it. */
export function fillMessage(row, item, place) {
  const { own, first, last, state } = place;
  row.className = ['message', own && 'own', first && 'first', last && 'last'].filter(Boolean).join(' ');
  row.style.setProperty('--hue', hueOf(item.sender));
  row.setAttribute('aria-label', spoken(item, place));
  row.dataset.state = state;
  if (item.seq) row.dataset.seq = item.seq;
  if (item.id) row.dataset.id = item.id;
  const kept = keep(row, item);
  const isNamed = first && !own;
  const tag = isNamed && place.hasNamesake && el('span.tag', {}, nameTag(item.sender));
  arrange(kept.bubble, [kept.text, foot(item, place)]);
  arrange(kept.body, [
    isNamed && el('div.sender', { title: item.sender }, el('bdi', {}, displayName(item.sender)), tag),
    kept.bubble,
    item.reactions?.length > 0 && !item.deleted && reactionRow(item, place),
    state === 'failed' && failedRow(item),
    place.seenBy.length > 0 && seenLine(place.seenBy),
  ].filter(Boolean));
  arrange(row, [isNamed && avatar(item.sender), kept.body].filter(Boolean));
}

const parts = new WeakMap();

/** What stands in a row as long as the message says the same: what somebody has selected in it stays selected. */
function keep(row, item) {
  const says = JSON.stringify([item.deleted, item.text, item.json]);
  const known = parts.get(row);
  if (known?.says === says) return known;
  const kept = { says, text: textOf(item), bubble: el('div.bubble'), body: el('div.message-body') };
  parts.set(row, kept);
  return kept;
}

/** What a screen reader says of a message that gets the focus. */
function spoken(item, place) {
  const who = place.own ? 'You' : `${nameIn(item.sender)}${place.hasNamesake ? ` ${nameTag(item.sender)}` : ''}`;
  const what = item.deleted ? 'Message deleted' : (item.text ?? oneValue(item)).slice(0, READ_OUT);
  const more = [clock(item.createdAt ?? Date.now())];
  if (item.edited && !item.deleted) more.push('edited');
  if (place.state === 'sending') more.push('sending');
  if (place.state === 'failed') more.push('not sent');
  for (const { key, count } of (!item.deleted && item.reactions) || []) more.push(`${key} ${count}`);
  if (place.seenBy.length > 0) more.push(`seen by ${nameList(place.seenBy)}`);
  return `${who}: ${what}, ${more.join(', ')}`;
}

function textOf(item) {
  const data = { testid: 'message-text' };
  if (item.deleted) return el('div.text.is-deleted', { data }, 'Message deleted');
  if (item.text === undefined) return el('div.text', { data }, el('pre.code', { dir: 'ltr' }, oneValue(item)));
  const text = el('div.text', { dir: 'auto', data }, richText(item.text));
  text.classList.toggle('only-emoji', isOnlyEmoji(item.text));
  return text;
}

function oneValue(item) {
  return item.json === undefined ? '' : JSON.stringify(item.json, null, 2);
}

function foot(item, { own, state }) {
  const time = el('time', { datetime: item.createdAt }, clock(item.createdAt ?? Date.now()));
  const edited = item.edited && !item.deleted ? el('span', {}, 'edited') : null;
  return el('div.foot', {}, edited, state === 'sent' && time, own && mark(state));
}

function mark(state) {
  if (state === 'sending') return el('span.mark', {}, icon('clock'), 'sending…');
  if (state === 'failed') return el('span.mark.is-failed', {}, icon('alert'), 'not sent');
  return el('span.mark', { role: 'img', 'aria-label': 'sent', title: 'Sent' }, icon('check'));
}

function reactionRow(item, { me, mayReact }) {
  const chips = item.reactions.map(({ key, count, users = [] }) => {
    const mine = users.includes(me);
    const others = users.filter((user) => user !== me);
    const names = [mine && 'You', others.length > 0 && nameList(others, 12)].filter(Boolean).join(', ');
    return el(
      'button.chip',
      {
        type: 'button',
        tabindex: -1,
        'aria-pressed': String(mine),
        'aria-label': `${key}, ${count}${names ? `: ${names}` : ''}`,
        title: names,
        disabled: !mayReact,
        data: { testid: 'reaction', key },
      },
      el('span.chip-key', {}, key),
      el('span', {}, String(count)),
    );
  });
  return el('div.reactions', {}, chips);
}

function failedRow(item) {
  return el(
    'div.failed',
    {},
    el('span', {}, errorText(item.error)),
    el('button.link', { type: 'button', data: { testid: 'retry' } }, 'Retry'),
    el('button.link', { type: 'button', data: { testid: 'discard' } }, 'Discard'),
  );
}

function seenLine(users) {
  return el('div.seen', { title: nameList(users, 50), data: { testid: 'seen' } }, `Seen by ${nameList(users)}`);
}
