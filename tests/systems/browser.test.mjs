// The clients' browser builds in a real browser, from pages of another origin than the servers'.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Browser } from './browser.mjs';
import { Stage as Group } from './group/stage.mjs';
import { jwt } from './server.mjs';
import { Shop, token } from './shop/shop.mjs';
import { Stage as Study } from './study/stage.mjs';
import { Stage as Verified } from './verified/stage.mjs';

/** What sockjs-client uses in browsers of today, and what it uses in old ones. */
const TRANSPORTS = [
  'websocket', 'xhr-streaming', 'eventsource', 'xhr-polling',
  'iframe-eventsource', 'iframe-htmlfile', 'iframe-xhr-polling', 'jsonp-polling',
];

let browser;
before(async () => (browser = await Browser.start()));
after(() => browser.close());

/**
 * Connects, joins, sends, and answers what was told: the first event of this name and what the sends were answered. By long polling
 * at first, then by a WebSocket, as the client does it unless told otherwise.
 */
const talk = (page, story) => page.evaluate(async ({ url, auth, join, joinName, sends, sendName, told }) => {
  const socket = window.io(url, { auth, transports: ['polling', 'websocket'] });
  const heard = [];
  const next = (name) => new Promise((resolve, reject) => {
    socket.once(name, resolve);
    socket.once('connect_error', reject);
    setTimeout(() => reject(new Error(`waited for ${name}`)), 15_000);
  });
  await next('connect');
  socket.on(told, (message) => heard.push(message));
  const joined = await socket.timeout(15_000).emitWithAck(joinName, join);
  const upgradedBy = Date.now() + 15_000;
  while (socket.io.engine.transport.name !== 'websocket' && Date.now() < upgradedBy) await new Promise((resolve) => setTimeout(resolve, 10));
  const answers = [];
  for (const data of sends) answers.push(await socket.timeout(15_000).emitWithAck(sendName, data));
  const end = Date.now() + 15_000;
  while (heard.length < sends.length && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
  const transport = socket.io.engine.transport.name;
  socket.disconnect();
  return { joined, answers, heard, transport };
}, story);

test('shop: a buyer talks from a page', async () => {
  const shop = await Shop.open({ env: { ALLOWED_ORIGINS: browser.origin } });
  try {
    await shop.store('7', 'sue');
    const room = await shop.room('bob', '7');
    const page = await browser.open();
    const { joined, answers, heard, transport } = await talk(page, {
      url: `${shop.servers[0].url}/chat`, auth: { token: token('bob') }, told: 'new-message',
      joinName: 'join-room', join: { roomId: room.id }, sendName: 'send-message',
      sends: ['one', 'two'].map((text) => ({ roomId: room.id, text })),
    });
    assert.deepEqual([joined.success, answers.every(({ success }) => success), transport], [true, true, 'websocket']);
    assert.deepEqual(heard.map(({ text, senderId }) => [text, senderId]), [['one', 'bob'], ['two', 'bob']]);
  } finally {
    await shop.close();
  }
});

test('verified: a holder talks from a page', async () => {
  const stage = await Verified.open({ ALLOWED_ORIGINS: browser.origin });
  try {
    const server = await stage.start();
    const ann = stage.person('ann');
    await stage.room(server, 3, [ann]);
    const page = await browser.open();
    const { joined, answers, heard } = await talk(page, {
      url: `${server.url}/chat`, auth: { token: ann.token, presentation: ann.present() }, told: 'message',
      joinName: 'joinRoom', join: { roomId: 3 }, sendName: 'sendMessage', sends: [{ roomId: 3, message: 'hello' }],
    });
    assert.deepEqual([joined.success, answers[0].success], [true, true]);
    assert.deepEqual(heard, [answers[0].data]);
  } finally {
    await stage.close();
  }
});

test('group: a member talks from a page, and what was said is told once it is stored', async () => {
  const stage = await Group.set({ ALLOWED_ORIGINS: browser.origin });
  try {
    const gateway = await stage.gateway();
    await stage.worker();
    const ann = await stage.person(gateway);
    const { body: room } = await ann.call('POST', '/rooms', { name: 'tea' });
    const roomId = room.roomId ?? room.id;
    const page = await browser.open();
    const { joined, answers, heard } = await talk(page, {
      url: gateway.url, auth: { token: ann.token }, told: 'newMessage', joinName: 'joinRoom', join: { roomId }, sendName: 'sendMessage',
      sends: [{ roomId, clientMsgId: crypto.randomUUID(), type: 'TEXT', content: 'hello' }],
    });
    assert.equal(joined.success, true);
    assert.equal(answers[0].status, 'ACCEPTED');
    assert.deepEqual([heard[0].content, heard[0].senderId, heard[0].clientMsgId], ['hello', ann.id, answers[0].clientMsgId]);
  } finally {
    await stage.end();
  }
});

test('study: a member talks from a page over every transport that SockJS uses there', async (t) => {
  const env = { ALLOWED_ORIGINS: browser.origin, SOCKJS_CLIENT_URL: `${browser.origin}/sockjs.js` };
  const stage = await Study.start({ env });
  try {
    const room = await stage.room(5);
    for (const transport of ['plain', ...TRANSPORTS]) {
      await t.test(transport, async () => {
        const page = await browser.open();
        const text = `by ${transport}`;
        const heard = await page.evaluate(async ({ url, token, room, transport, text }) => {
          const socket = () => (transport === 'plain'
            ? new WebSocket(url.replace('http', 'ws'), ['v12.stomp'])
            : new window.SockJS(url, null, { transports: [transport] }));
          const client = new window.StompJs.Client({ webSocketFactory: socket, connectHeaders: { Authorization: `Bearer ${token}` }, reconnectDelay: 0 });
          return new Promise((resolve, reject) => {
            setTimeout(() => reject(new Error('waited for the message')), 20_000);
            client.onStompError = (frame) => reject(new Error(frame.headers.message));
            client.onConnect = () => {
              client.subscribe(`/topic/chatroom/${room}`, (message) => {
                const body = JSON.parse(message.body);
                if (body.content === text) client.deactivate().then(() => resolve(body));
              }, { receipt: 'subscribed' });
              client.watchForReceipt('subscribed', () => client.publish({
                destination: '/app/chat.sendMessage',
                body: JSON.stringify({ chatRoomId: room, senderId: 5, senderNickname: 'hong', content: text, messageType: 'CHAT' }),
              }));
            };
            client.activate();
          });
        }, { url: `${stage.servers[0].url}/ws-chat`, token: jwt({ sub: '5' }), room, transport, text });
        assert.deepEqual([heard.chatRoomId, heard.senderId, heard.senderNickname], [room, 5, 'hong']);
      });
    }
  } finally {
    await stage.end();
  }
});
