// Puts the page together: who is signed in, which room is open, and the three columns.

import { Api } from './api.js';
import { ChatModel } from './model.js';
import { Session } from './session.js';
import { announce } from './views/announcer.js';
import { ConnectionView } from './views/connection.js';
import { ConversationView } from './views/conversation.js';
import { confirmDialog, formDialog, inviteDialog, successorDialog } from './views/dialogs.js';
import { isolate } from './views/format.js';
import { MembersView } from './views/members.js';
import { RoomsView } from './views/rooms.js';
import { showSignIn } from './views/signin.js';

const part = (id) => document.getElementById(id);
const NARROW = matchMedia('(max-width: 760px)');
const WIDE = matchMedia('(min-width: 1100px)');

/** The room named by the address, so that the browser's way back works. */
function roomInAddress() {
  const match = /^#\/room\/(.+)$/.exec(location.hash);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

function goTo(room) {
  const hash = room ? `#/room/${encodeURIComponent(room)}` : '#/';
  if (location.hash !== hash) location.hash = hash;
}

function signIn(notice) {
  part('app').hidden = true;
  showSignIn(part('signin'), {
    notice,
    onSession: (data) => {
      Session.save(data);
      enter(data);
    },
  });
}

function enter(data) {
  const session = new Session(data, () => leave('Your session has ended. Please sign in again.'));
  const api = new Api(() => session.token());
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/chat/ws`;
  const model = new ChatModel({ session, api, url });
  const app = part('app');
  const dialogs = part('dialogs');
  const ask = (question) => confirmDialog(dialogs, question);
  const panel = (shown) => {
    app.classList.toggle('shows-members', shown);
    conversation.membersButton.setAttribute('aria-expanded', String(shown));
  };

  const connection = new ConnectionView(part('connection'), model);
  new RoomsView(part('rooms'), model, {
    onOpen: (room) => {
      goTo(room);
      // At once, not only when the browser tells of the new address: what is typed next is for this room.
      if (room === model.current) conversation.composer.focus();
      follow();
    },
    onCreate: createRoom,
    onSignOut: signOut,
    onJump: jump,
  });
  const conversation = new ConversationView(part('conversation'), model, {
    onBack: () => goTo(null),
    onMembers: () => panel(!app.classList.contains('shows-members')),
    ask,
  });
  const members = new MembersView(part('members'), model, {
    onInvite: invite,
    onLeave: leaveRoom,
    onClose: () => {
      panel(false);
      conversation.membersButton.focus();
    },
  });

  async function createRoom() {
    const room = await formDialog(dialogs, {
      title: 'Create a room',
      label: 'Name of the room',
      hint: 'Up to 60 characters. Only people you invite can read and write in it.',
      action: 'Create',
      maxlength: 60,
      testid: 'room-name',
      work: (name) => api.createRoom(name),
    });
    if (!room) return;
    model.addRoom(room);
    goTo(room.id);
  }

  async function invite() {
    const { room } = model;
    const people = [...new Set([...model.rooms.values()].flatMap((other) => [...other.members.keys()]))];
    await inviteDialog(dialogs, {
      title: `Invite to ${room.name}`,
      people: people.filter((user) => !room.members.has(user)).sort(),
      work: async (user) => {
        await api.invite(room.id, user);
        announce('Invited.');
        model.roster.load(room).catch(() => {});
      },
    });
  }

  /** A guest has no password: nobody can sign in as this one again. */
  async function signOut() {
    const owned = model.sortedRooms().filter((room) => room.role === 'owner').map((room) => isolate(room.name));
    const rooms = owned.length > 0 ? ` You own ${owned.slice(0, 3).join(', ')}${owned.length > 3 ? ' and more' : ''}: name another owner first, by leaving.` : '';
    const sure = await ask({
      title: 'Sign out?',
      text: `You are here as a guest, and cannot come back as the same person. What you wrote stays.${rooms}`,
      action: 'Sign out',
      danger: true,
    });
    if (sure) leave(null);
  }

  async function leaveRoom() {
    const { room } = model;
    const sure = await ask({
      title: `Leave ${room.name}?`,
      text: 'You need a new invitation to come back.',
      action: 'Leave',
      danger: true,
    });
    if (!sure) return;
    try {
      await leaveOr(room, async () => {
        const others = [...room.members.keys()].filter((user) => user !== session.user).sort();
        await successorDialog(dialogs, {
          title: `Who takes over ${room.name}?`,
          people: others,
          work: async (user) => {
            await api.makeOwner(room.id, user);
            await leaveOr(room);
          },
        });
      });
    } catch (error) {
      conversation.say(error);
    }
  }

  /** Leaves a room; where its only owner may not, does `otherwise`. */
  async function leaveOr(room, otherwise) {
    try {
      await api.leave(room.id);
    } catch (error) {
      if (error.code !== 'last_owner' || !otherwise) throw error;
      await otherwise();
      return;
    }
    model.forget(room.id);
  }

  async function jump(entry) {
    goTo(entry.room);
    follow();
    const { room } = model;
    if (!room) return;
    try {
      await conversation.history.jumpTo(entry);
    } catch (error) {
      conversation.say(error);
    }
  }

  /** Shows what the address says; a wide window without a room in its address shows the newest. */
  function follow() {
    const named = roomInAddress();
    const newest = NARROW.matches ? null : model.sortedRooms()[0]?.id ?? null;
    const room = named && model.rooms.has(named) ? named : newest;
    app.classList.toggle('shows-room', Boolean(room && named));
    if (room !== model.current) model.open(room);
    if (NARROW.matches || !WIDE.matches) panel(false);
  }

  function leave(notice) {
    removeEventListener('hashchange', follow);
    NARROW.removeEventListener('change', follow);
    WIDE.removeEventListener('change', fit);
    model.stop();
    connection.stop();
    members.stop();
    Session.clear();
    history.replaceState(null, '', location.pathname);
    document.title = 'Chat';
    for (const id of ['rooms', 'conversation', 'members', 'dialogs']) part(id).replaceChildren();
    signIn(notice);
  }

  /** Beside the conversation there is room for the panel, or there is not. */
  function fit() {
    panel(WIDE.matches);
  }

  addEventListener('hashchange', follow);
  NARROW.addEventListener('change', follow);
  WIDE.addEventListener('change', fit);
  model.addEventListener('rooms', () => {
    if (model.current === null) follow();
  });
  fit();
  app.hidden = false;
  model.start();
}

const known = Session.load();
if (known) enter(known);
else signIn(null);
