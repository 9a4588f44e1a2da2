// Pointer and keys on the messages of a history. One listener serves all rows.
//
// Arrow keys go from message to message; on one of them Enter leads to what can be done, E edits, R reacts, Delete
// deletes, Escape leads back to the composer.

import { tellTime } from './message.js';
import { Tools } from './tools.js';

/** `actions`: `react(item, key)`, `edit`, `remove`, `retry`, `discard` with an item, and `leave()`. */
export function onMessages(history, actions) {
  const { rows, scroller } = history;
  const tools = new Tools(actions);
  const rowOf = (target) => target.closest?.('.message');

  function show(row) {
    const { item, place } = rows.of(row) ?? {};
    if (!place || row.classList.contains('is-editing')) return;
    tools.attach(row, item, place);
    tellTime(row, item);
  }

  function over({ target, pointerType }) {
    const row = rowOf(target);
    // A finger's touch gives the focus; what stands there must not come up before it and be hit by the same touch.
    if (pointerType !== 'mouse' || tools.isBusy) return;
    if (!row) away();
    else if (row !== tools.row) show(row);
  }

  /** The pointer went elsewhere: what can be done is shown where the focus is, if it is here. */
  function away() {
    if (tools.isBusy) return;
    const row = rowOf(document.activeElement);
    if (row) show(row);
    else tools.detach();
  }

  function focused({ target }) {
    const row = rowOf(target);
    if (!row) return;
    rows.activate(row);
    show(row);
  }

  /** The focus went elsewhere, and not into a question about a message, from which it comes back. */
  function left({ relatedTarget: next }) {
    if (next && !scroller.contains(next) && !tools.picker.contains(next) && !next.closest('dialog')) tools.detach();
  }

  function clicked({ target }) {
    const button = target.closest('[data-testid]');
    const row = rowOf(target);
    const { item, place } = rows.of(row) ?? {};
    const action = button?.dataset.testid;
    if (action === 'reaction') actions.react(item, button.dataset.key, place);
    else if (action === 'retry') actions.retry(item);
    else if (action === 'discard') discard(row, item);
  }

  /** The message goes, and the focus to the one before it. */
  function discard(row, item) {
    const next = neighbour(row, -1) ?? neighbour(row, 1);
    actions.discard(item);
    if (next) next.focus();
    else actions.leave();
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const row = rowOf(event.target);
    const handled = move(event, row) || (event.target === row && act(event, row));
    if (handled) event.preventDefault();
  }

  function move(event, row) {
    if (event.key === 'Escape') {
      actions.leave();
    } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const step = event.key === 'ArrowUp' ? -1 : 1;
      const next = row ? neighbour(row, step) : firstInSight();
      if (next) next.focus();
      else if (step > 0 && history.showsNewest) actions.leave();
    } else if (event.key === 'End') {
      history.toNewest(true);
    } else if (event.key === 'Home') {
      scroller.querySelector('.message')?.focus();
    } else {
      return false;
    }
    return true;
  }

  function act(event, row) {
    const { item, place } = rows.of(row);
    show(row);
    if (event.key === 'Enter') (tools.element.querySelector('button') ?? row.querySelector('button, a'))?.focus();
    else if (event.key === 'e' && place.mayEdit) actions.edit(item);
    else if (event.key === 'r' && place.mayReact) tools.react.click();
    else if (event.key === 'Delete' && place.mayDelete) actions.remove(item);
    else return false;
    return true;
  }

  function firstInSight() {
    const { top } = scroller.getBoundingClientRect();
    return [...scroller.querySelectorAll('.message')].find((row) => row.getBoundingClientRect().bottom > top);
  }

  rows.onFilled = (row) => row === tools.row && show(row);
  scroller.addEventListener('pointerover', over);
  scroller.addEventListener('pointerleave', away);
  scroller.addEventListener('focusin', focused);
  scroller.addEventListener('focusout', left);
  scroller.addEventListener('click', clicked);
  scroller.addEventListener('keydown', key);
  return tools;
}

function neighbour(row, step) {
  let next = row;
  do next = step < 0 ? next.previousElementSibling : next.nextElementSibling;
  while (next && !next.classList.contains('message'));
  return next;
}
