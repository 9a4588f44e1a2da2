// Questions in a <dialog>: the browser keeps the focus inside, Escape closes, and the focus goes back to where it was.

import { el, set, setText } from './dom.js';
import { displayName, errorText } from './format.js';
import { avatar, fullName } from './people.js';

const SUGGESTED = 5;

/** Opens a dialog. `build(close)` gives its content; resolves with what `close` was called with, or undefined. */
function open(root, title, build) {
  return new Promise((resolve) => {
    let result;
    const dialog = el('dialog.dialog', { 'aria-labelledby': 'dialog-title' });
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.append(el('h2', { id: 'dialog-title', dir: 'auto' }, title), ...build(close));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(result);
    });
    // A click beside the dialog closes it, as a click on its backdrop hits the dialog itself.
    dialog.addEventListener('pointerdown', (event) => event.target === dialog && dialog.close());
    root.append(dialog);
    dialog.showModal();
  });
}

function buttons(close, action) {
  return el(
    'div.dialog-buttons',
    {},
    el('button.button.quiet', { type: 'button', onclick: () => close(undefined), data: { testid: 'cancel' } }, 'Cancel'),
    action,
  );
}

/** Asks before something that cannot be undone. */
export function confirmDialog(root, { title, text, action, danger = false }) {
  return open(root, title, (close) => [
    el('p.muted', { dir: 'auto' }, text),
    buttons(close, el(`button.button${danger ? '.danger-fill' : '.primary'}`, { type: 'button', onclick: () => close(true), autofocus: true, data: { testid: 'confirm' } }, action)),
  ]);
}

/**
 * Asks for one line of text and does `work` with it; stays open and says why if that fails. `more(input, submit)` adds
 * what helps to fill it in; `check(value)` gives the value to work with, or throws.
 */
export function formDialog(root, { title, label, hint, action, maxlength, testid, work, more, check = (value) => value }) {
  return open(root, title, (close) => {
    const problem = el('p.problem', { id: 'dialog-problem', role: 'alert' });
    const input = el('input.field', {
      id: 'dialog-field',
      type: 'text',
      dir: 'auto',
      autocomplete: 'off',
      maxlength,
      autofocus: true,
      'aria-describedby': 'dialog-hint dialog-problem',
      data: { testid: `${testid}-field` },
    });
    const submit = el('button.button.primary', { type: 'submit', data: { testid: `${testid}-submit` } }, action);
    const complain = (text) => {
      setText(problem, text);
      set(input, { 'aria-invalid': text ? 'true' : null });
      input.focus();
    };
    const run = async (value) => {
      set(submit, { disabled: true });
      try {
        close((await work(check(value))) ?? value);
      } catch (error) {
        complain(errorText(error));
      } finally {
        set(submit, { disabled: false });
      }
    };
    input.addEventListener('input', () => {
      setText(problem, '');
      set(input, { 'aria-invalid': null });
    });
    const onsubmit = (event) => {
      event.preventDefault();
      const value = input.value.trim();
      if (value) run(value);
      else complain('Please fill this in.');
    };
    const form = el(
      'form.dialog-form',
      { novalidate: true, onsubmit },
      el('label.label', { for: 'dialog-field' }, label),
      input,
      el('p.muted.small-text', { id: 'dialog-hint' }, hint),
      problem,
      more?.(input, run),
      buttons(close, submit),
    );
    return [form];
  });
}

/** Asks who is to own a room after oneself, of `people` (user ids), and does `work` with the answer. */
export function successorDialog(root, { title, people, work }) {
  return open(root, title, (close) => {
    const problem = el('p.problem', { role: 'alert' });
    const choose = async (user) => {
      try {
        await work(user);
        close(user);
      } catch (error) {
        setText(problem, errorText(error));
      }
    };
    const choice = (user) =>
      el('li', {}, el('button.room.suggestion', { type: 'button', onclick: () => choose(user), data: { testid: 'successor', user } }, avatar(user), fullName(user)));
    return [
      el('p.muted', {}, 'You are the only owner of this room. Choose who looks after it from now on; then you leave.'),
      el('ul.suggestions', { 'aria-label': 'Members' }, people.map(choice)),
      problem,
      buttons(close),
    ];
  });
}

/** Asks whom to invite: somebody of `people` (user ids), or anybody whose id is known. */
export function inviteDialog(root, { title, people, work }) {
  const matching = (text) => {
    const wanted = text.trim().toLocaleLowerCase();
    return people.filter((user) => `${displayName(user)} ${user}`.toLocaleLowerCase().includes(wanted));
  };
  const suggestions = (input, run) => {
    const list = el('ul.suggestions', { 'aria-label': 'People you share a room with' });
    const draw = () =>
      list.replaceChildren(
        ...matching(input.value).slice(0, SUGGESTED).map((user) =>
          el('li', {}, el('button.room.suggestion', { type: 'button', onclick: () => run(user), data: { testid: 'suggestion', user } }, avatar(user), fullName(user))),
        ),
      );
    input.addEventListener('input', draw);
    draw();
    return list;
  };
  const check = (text) => {
    if (people.includes(text)) return text;
    const found = matching(text);
    if (found.length === 1) return found[0];
    if (found.length > 1) throw new Error('There are several people of this name. Choose one below.');
    if (/^[\x21-\x7e]+-[0-9a-f]{6}$/u.test(text)) return text;
    throw new Error('You share no room with anybody of this name. Ask for their id: “Copy my id” stands under their own name.');
  };
  return formDialog(root, {
    title,
    label: 'Name or id',
    hint: 'Choose somebody you share a room with, or enter the id that somebody gave you.',
    action: 'Invite',
    maxlength: 512,
    testid: 'invite',
    work,
    check,
    more: suggestions,
  });
}
