// The text of a message as elements: addresses become links, code keeps its form. Everything else stays text.

import { el } from './dom.js';

/** With the end of its last line: the block ends that by itself. */
const BLOCK = /```(?:[\w+-]*\n)?([\s\S]+?)```\n?/u;
const INLINE = /`([^`\n]+)`|(https?:\/\/[^\s<>"'`]+)/u;
/** What ends a sentence does not belong to the address before it. */
const TRAILING = /[.,:;!?)\]}»”’]+$/u;

const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s)+$/u;
const SEGMENTS = new Intl.Segmenter();
const FEW = 6;

/** Whether a text is nothing but a few emoji, which are shown large. */
export function isOnlyEmoji(text) {
  if (typeof text !== 'string' || text.length > 60 || !EMOJI.test(text) || !/\p{Extended_Pictographic}/u.test(text)) return false;
  return [...SEGMENTS.segment(text.replace(/\s/gu, ''))].length <= FEW;
}

export function richText(text) {
  return split(text, BLOCK, ([, code]) => el('pre.code', { dir: 'ltr', tabindex: -1 }, el('code', {}, code.replace(/\n$/u, ''))), (part) =>
    split(part, INLINE, ([, code, address]) => (code ? el('code', { dir: 'ltr' }, code) : link(address)), (plain) => [plain]),
  );
}

/** Goes through a text: `found` makes a node of each match, `between` a list of what stands between them. */
function split(text, pattern, found, between) {
  const nodes = [];
  let rest = text;
  for (let match = pattern.exec(rest); match; match = pattern.exec(rest)) {
    if (match.index > 0) nodes.push(...between(rest.slice(0, match.index)));
    const made = found(match);
    const nodesMade = Array.isArray(made) ? made : [made];
    nodes.push(...nodesMade);
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) nodes.push(...between(rest));
  return nodes;
}

function link(address) {
  const [trailing] = TRAILING.exec(address) ?? [''];
  const href = address.slice(0, address.length - trailing.length);
  if (!URL.canParse(href)) return [address];
  return [el('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow', dir: 'ltr' }, href), trailing];
}
