// What screen readers are told without anything moving: each thing once, because this is the page's only live region
// for it.

import { el } from './dom.js';

/** As long as a screen reader may take to notice. */
const KEPT_MS = 4_000;
/** Messages that come in within this time are told together. */
const GATHER_MS = 300;
/** More at once are only counted. */
const READ_OUT = 3;

const gathered = [];

/** Says something. The same words twice are two things said. */
export function announce(text) {
  const line = el('p', { dir: 'auto' }, text);
  document.getElementById('announcements').append(line);
  setTimeout(() => line.remove(), KEPT_MS);
}

/** Says what a new message says; of many at once only how many there are. */
export function announceMessage(text) {
  gathered.push(text);
  if (gathered.length > 1) return;
  setTimeout(() => {
    const texts = gathered.splice(0);
    if (texts.length > READ_OUT) announce(`${texts.length} new messages`);
    else texts.forEach(announce);
  }, GATHER_MS);
}
