// The card one signs in with: a name is enough.

import { signInAsGuest } from '../api.js';
import { el, set, setText } from './dom.js';
import { errorText } from './format.js';

/** Shows the card in `root`; `onSession` gets the answer of the server. */
export function showSignIn(root, { notice, onSession }) {
  const problem = el('p.problem', { id: 'signin-problem', role: 'alert' });
  const input = el('input.field', {
    id: 'signin-name',
    name: 'name',
    type: 'text',
    autocomplete: 'nickname',
    maxlength: 40,
    required: true,
    dir: 'auto',
    placeholder: 'Ann',
    'aria-describedby': 'signin-problem',
    data: { testid: 'signin-name' },
  });
  const submit = el('button.button.primary.wide', { type: 'submit', data: { testid: 'signin-submit' } }, 'Join the chat');
  const form = el(
    'form.signin-form',
    { novalidate: true, onsubmit: send },
    el('label.label', { for: 'signin-name' }, 'Your name'),
    input,
    problem,
    submit,
  );
  root.replaceChildren(
    el(
      'main.signin-card',
      {},
      el('img.logo', { src: 'icon.svg', alt: '', width: 48, height: 48 }),
      el('h1', {}, 'Welcome'),
      el('p.muted', {}, 'Pick a name and say hello in the lobby. Open a second tab to be somebody else.'),
      notice && el('p.notice', { role: 'status' }, notice),
      form,
    ),
  );
  root.hidden = false;
  input.focus();

  function refuse(text) {
    setText(problem, text);
    input.setAttribute('aria-invalid', 'true');
    input.focus();
  }

  async function send(event) {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return refuse('Please enter a name.');
    setText(problem, '');
    input.removeAttribute('aria-invalid');
    set(submit, { disabled: true });
    setText(submit, 'Joining…');
    try {
      const session = await signInAsGuest(name);
      root.hidden = true;
      root.replaceChildren();
      onSession({ name, ...session });
    } catch (error) {
      refuse(errorText(error));
    } finally {
      set(submit, { disabled: false });
      setText(submit, 'Join the chat');
    }
    return undefined;
  }
}
