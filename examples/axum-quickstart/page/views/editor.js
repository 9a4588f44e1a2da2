// A small editor in the place of a message's text.

import { el, set, setText } from './dom.js';

/** Opens in a row; `done` gets the new text, or null when it was left as it was. */
export function openEditor(row, item, limit, done) {
  const field = el('textarea.field.edit-field', {
    rows: 1,
    dir: 'auto',
    'aria-label': 'Edit message',
    'aria-describedby': 'edit-problem',
    data: { testid: 'edit-field' },
  });
  field.value = item.text;
  const problem = el('span.problem', { id: 'edit-problem', role: 'alert' });
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
    oninput: () => setText(problem, ''),
    onkeydown: (event) => {
      // The keys of the history are not for here.
      event.stopPropagation();
      // While an input method is open, its keys belong to it.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === 'Escape') finish(null);
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        save();
      }
    },
  });
  const buttons = el(
    'div.edit-buttons',
    {
      onkeydown: (event) => {
        event.stopPropagation();
        if (event.key === 'Escape') finish(null);
      },
    },
    problem,
    el('button.button.quiet.small', { type: 'button', onclick: () => finish(null) }, 'Cancel'),
    el('button.button.primary.small', { type: 'button', onclick: save, data: { testid: 'edit-save' } }, 'Save'),
  );
  row.classList.add('is-editing');
  row.querySelector('.bubble').replaceChildren(field, buttons);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}
