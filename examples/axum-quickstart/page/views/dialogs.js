// Questions in a <dialog>: the browser keeps the focus inside and Escape closes.

import { el, set, setText } from './dom.js';
import { errorText } from './format.js';

/** Opens a dialog. `build(close)` gives its content; resolves with what `close` was called with, or undefined. */
function open(root, title, build) {
  return new Promise((resolve) => {
    let result;
    const dialog = el('dialog.dialog', { 'aria-labelledby': 'dialog-title' });
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.append(el('h2', { id: 'dialog-title' }, title), ...build(close));
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
    el('button.button.quiet', { type: 'button', onclick: () => close(undefined) }, 'Cancel'),
    action,
  );
}

/** Asks before something that cannot be undone. */
export function confirmDialog(root, { title, text, action, danger = false }) {
  return open(root, title, (close) => [
    el('p', { dir: 'auto' }, text),
    buttons(close, el(`button.button${danger ? '.danger-fill' : '.primary'}`, { type: 'button', onclick: () => close(true), autofocus: true, data: { testid: 'confirm' } }, action)),
  ]);
}

/** Asks for one line of text and does `work` with it; stays open and says why if that fails. */
export function formDialog(root, { title, label, hint, action, maxlength, testid, work }) {
  return open(root, title, (close) => {
    const problem = el('p.problem', { id: 'dialog-problem', role: 'alert' });
    const input = el('input.field', {
      id: 'dialog-field',
      type: 'text',
      dir: 'auto',
      autocomplete: 'off',
      maxlength,
      autofocus: true,
      'aria-describedby': 'dialog-problem',
      data: { testid: `${testid}-field` },
    });
    const submit = el('button.button.primary', { type: 'submit', data: { testid: `${testid}-submit` } }, action);
    const form = el(
      'form.dialog-form',
      {
        novalidate: true,
        onsubmit: async (event) => {
          event.preventDefault();
          const value = input.value.trim();
          if (!value) return setText(problem, 'Please fill this in.');
          set(submit, { disabled: true });
          try {
            close((await work(value)) ?? value);
          } catch (error) {
            setText(problem, errorText(error));
            input.focus();
          } finally {
            set(submit, { disabled: false });
          }
          return undefined;
        },
      },
      el('label.label', { for: 'dialog-field' }, label),
      input,
      hint && el('p.muted.small-text', {}, hint),
      problem,
      buttons(close, submit),
    );
    return [form];
  });
}
