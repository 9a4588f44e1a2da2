// One message as it stands in the history, and the other things that stand there.

import { el, icon, iconButton, set, setText } from './dom.js';
import { clock, dayTitle, displayName, errorText, fullTime, hueOf } from './format.js';
import { avatar } from './people.js';

export const REACTIONS = ['👍', '❤️', '😂', '🎉', '😮', '😢'];

export function daySeparator(time) {
  return el('div.day', { role: 'separator', data: { testid: 'day-separator' } }, el('span', {}, dayTitle(time)));
}

export function unreadDivider() {
  return el('div.unread-line', { role: 'separator', data: { testid: 'unread-divider' } }, el('span', {}, 'New messages'));
}

/** Somebody came or went, or the application added an entry of its own. */
export function noticeRow(item) {
  const who = displayName(item.user ?? item.sender ?? '');
  const text =
    item.kind === 'join' ? `${who} joined the room`
    : item.kind === 'leave' ? `${who} left the room`
    : item.text || `${who} shared ${item.name ?? 'something'}`;
  return el('div.event', { dir: 'auto', title: fullTime(item.createdAt), data: { seq: item.seq } }, text);
}

/** Builds a message. `place` says whose it is, where in its group it stands and whether it may be changed. */
export function messageRow(item, place, actions) {
  const row = el(`article.message${place.own ? '.own' : ''}${place.first ? '.first' : ''}${place.last ? '.last' : ''}`, {
    tabindex: -1,
    hue: hueOf(item.sender),
    'aria-label': `${place.own ? 'You' : displayName(item.sender)}, ${fullTime(item.createdAt ?? Date.now())}`,
    data: { testid: 'message', state: place.state, ...(item.seq && { seq: item.seq }), ...(item.id && { id: item.id }) },
  });
  const text = item.deleted
    ? el('div.text.is-deleted', { data: { testid: 'message-text' } }, 'Message deleted')
    : el('div.text', { dir: 'auto', data: { testid: 'message-text' } }, item.text ?? oneValue(item));
  if (!item.deleted && isOnlyEmoji(item.text)) text.classList.add('only-emoji');
  const bubble = el('div.bubble', {}, text, foot(item, place));
  const body = el('div.message-body', {});
  if (place.first && !place.own) body.append(el('div.sender', { dir: 'auto' }, displayName(item.sender)));
  body.append(el('div.bubble-row', {}, bubble, place.editable !== undefined && toolbar(item, place, actions)));
  if (item.reactions?.length && !item.deleted) body.append(reactionRow(item, place, actions));
  if (place.state === 'failed') body.append(failedRow(item, place, actions));
  row.append(place.own ? '' : place.first ? avatar(item.sender) : el('span.avatar-gap'), body);
  return row;
}

function oneValue(item) {
  return item.json === undefined ? '' : JSON.stringify(item.json, null, 2);
}

function isOnlyEmoji(text) {
  return typeof text === 'string' && /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s){1,12}$/u.test(text)
    && /\p{Extended_Pictographic}/u.test(text);
}

function foot(item, place) {
  const time = item.createdAt
    ? el('time', { datetime: item.createdAt, title: fullTime(item.createdAt) }, clock(item.createdAt))
    : null;
  const edited = item.edited && !item.deleted ? el('span', {}, 'edited') : null;
  return el('div.foot', {}, edited, place.own && place.state === 'sending' ? null : time, place.own && mark(place.state));
}

function mark(state) {
  if (state === 'sending') return el('span.mark', {}, icon('clock'), 'sending…');
  if (state === 'failed') return el('span.mark.is-failed', {}, icon('alert'), 'not sent');
  return el('span.mark', { role: 'img', 'aria-label': 'sent', title: 'Sent' }, icon('check'));
}

function toolbar(item, place, actions) {
  if (item.deleted) return null;
  const react = iconButton('smile', 'React', {
    'aria-haspopup': 'true',
    'aria-expanded': 'false',
    onclick: (event) => actions.pickReaction(item, event.currentTarget),
    data: { testid: 'react' },
  });
  const own = place.editable
    ? [
        iconButton('edit', 'Edit', { onclick: () => actions.edit(item), data: { testid: 'edit' } }),
        iconButton('trash', 'Delete', { onclick: () => actions.remove(item), data: { testid: 'delete' } }),
      ]
    : [];
  return el('div.tools', { role: 'group', 'aria-label': 'Actions' }, react, own);
}

function reactionRow(item, place, actions) {
  const chips = item.reactions.map(({ key, count, users = [] }) => {
    const mine = users.includes(place.me);
    const names = users.map((user) => (user === place.me ? 'You' : displayName(user))).join(', ');
    return el(
      'button.chip',
      {
        type: 'button',
        'aria-pressed': String(mine),
        'aria-label': `${key}, ${count}${names ? `: ${names}` : ''}`,
        title: names,
        disabled: place.editable === undefined,
        onclick: () => actions.react(item, key, mine ? 'remove' : 'add'),
        data: { testid: 'reaction', key },
      },
      el('span.chip-key', {}, key),
      el('span', {}, String(count)),
    );
  });
  return el('div.reactions', {}, chips);
}

function failedRow(item, place, actions) {
  return el(
    'div.failed',
    { role: 'alert' },
    el('span', {}, errorText(item.error)),
    el('button.link', { type: 'button', onclick: () => actions.retry(item), data: { testid: 'retry' } }, 'Retry'),
    el('button.link', { type: 'button', onclick: () => actions.discard(item), data: { testid: 'discard' } }, 'Discard'),
  );
}

/** Puts a small editor in the place of the text. `done` gets the new text, or null when it was left as it was. */
export function editor(row, item, limit, done) {
  const field = el('textarea.field.edit-field', { rows: 1, dir: 'auto', 'aria-label': 'Edit message', data: { testid: 'edit-field' } });
  field.value = item.text;
  const problem = el('span.problem', { role: 'alert' });
  const finish = (text) => {
    row.classList.remove('is-editing');
    done(text);
  };
  const save = () => {
    const text = field.value.trim();
    if (!text) return setText(problem, 'A message needs some text. Delete it instead?');
    if ([...text].length > limit) return setText(problem, `At most ${limit} characters.`);
    return finish(text === item.text ? null : text);
  };
  set(field, {
    onkeydown: (event) => {
      if (event.isComposing) return;
      if (event.key === 'Escape') finish(null);
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        save();
      }
    },
  });
  const buttons = el(
    'div.edit-buttons',
    {},
    problem,
    el('button.button.quiet.small', { type: 'button', onclick: () => finish(null) }, 'Cancel'),
    el('button.button.primary.small', { type: 'button', onclick: save, data: { testid: 'edit-save' } }, 'Save'),
  );
  row.classList.add('is-editing');
  row.querySelector('.bubble').replaceChildren(field, buttons);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}
