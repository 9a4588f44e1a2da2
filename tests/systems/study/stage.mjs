// Instances of the study server on a database, a Redis prefix and topics of their own, and people who use them.

import { Client } from '@stomp/stompjs';
import SockJS from 'sockjs-client';
import WebSocket from 'ws';

import { SECRET, Server, database, jwt, request, unique, until, variable, within } from '../server.mjs';

export const PROGRAM = 'example-axum-study';
export const SERVICE_TOKEN = 'a token of services';

/** Every way in which the clients reach `/ws-chat`. */
export const WAYS = ['plain', 'websocket', 'xhr-streaming', 'eventsource', 'xhr-polling'];

/** The settings of one system. */
export function settings(databaseUrl) {
  const name = unique('study');
  return {
    LISTEN: '127.0.0.1:0', SENDS_PER_SECOND: '1000', DATABASE_URL: databaseUrl, JWT_SECRET: SECRET, INTERNAL_TOKEN: SERVICE_TOKEN, DRAIN: '100ms',
    REDIS_URL: variable('CHAT_TEST_REDIS_URL'), REDIS_PREFIX: name, REDIS_CHANNEL: `${name}:messages`,
    KAFKA_BROKERS: variable('CHAT_TEST_KAFKA_URL'), KAFKA_TOPIC: `${name}.member.created`, KAFKA_GROUP: name,
  };
}

export class Stage {
  servers = [];
  people = [];
  #studies = 100;

  static async start({ instances = 1, env = {} } = {}) {
    const stage = new Stage();
    stage.database = await database();
    stage.env = { ...settings(stage.database.url), ...env };
    for (let i = 0; i < instances; i += 1) await stage.instance();
    return stage;
  }

  async instance() {
    const server = await Server.start(PROGRAM, { env: this.env });
    this.servers.push(server);
    return server;
  }

  async end() {
    await Promise.all(this.people.map((person) => person.client.deactivate({ force: true })));
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.database.drop();
  }

  /** One request to an instance, the first unless another is named. */
  ask(method, path, { user, at = 0, ...rest } = {}) {
    const token = user === undefined ? undefined : jwt({ sub: String(user) });
    return request(method, `${this.servers[at].url}/api/chat${path}`, { token, ...rest });
  }

  /** A new room with these members; the first one creates it. Its number. */
  async room(...users) {
    const [first, ...others] = users;
    this.#studies += 1;
    const { body } = await this.ask('POST', '/rooms', { user: first, body: { studyId: this.#studies, name: 'Rust' } });
    for (const user of others) await this.ask('POST', `/rooms/${body.chatRoomId}/join`, { user });
    return body.chatRoomId;
  }

  /** Everything that was said in a room. */
  async history(room, user, at = 0) {
    const all = [];
    for (;;) {
      const after = all.at(-1)?.messageId ?? 0;
      const { body } = await this.ask('GET', `/rooms/${room}/messages?after=${after}&size=100`, { user, at });
      all.push(...body.messages);
      if (!body.hasMore) return all;
    }
  }

  async person(user, options = {}) {
    const person = await Person.connect(this.servers[options.at ?? 0].url, user, options);
    this.people.push(person);
    return person;
  }
}

function factory(url, way) {
  const endpoint = `${url}/ws-chat`;
  if (way === 'plain') return () => new WebSocket(endpoint.replace('http', 'ws'), ['v12.stomp']);
  return () => new SockJS(endpoint, null, { transports: [way] });
}

/** Somebody with a STOMP client, who hears the rooms that they follow and their own errors. */
export class Person {
  heard = [];
  refusals = [];
  #receipts = 0;

  /** Connects, or fails with the `ERROR` frame or what else ended the connection. */
  static async connect(url, user, { way = 'plain', token = jwt({ sub: String(user) }), errors = true } = {}) {
    const person = new Person();
    person.user = user;
    const connectHeaders = token === null ? {} : { Authorization: `Bearer ${token}` };
    const client = new Client({ webSocketFactory: factory(url, way), connectHeaders, reconnectDelay: 0 });
    person.client = client;
    person.closed = new Promise((resolve) => (client.onWebSocketClose = resolve));
    person.failed = new Promise((resolve) => (client.onStompError = (frame) => resolve(frame.headers)));
    const connected = new Promise((resolve, reject) => {
      client.onConnect = resolve;
      person.failed.then(reject);
      person.closed.then(() => reject(new Error('closed')));
    });
    client.activate();
    await within(15_000, 'CONNECTED', connected);
    if (errors) {
      await person.subscribe(`/user/${user}/queue/errors`, (message) => {
        person.refusals.push({ ...JSON.parse(message.body), receipt: message.headers['receipt-id'] });
      });
    }
    return person;
  }

  #receipt(act) {
    this.#receipts += 1;
    const id = `r${this.#receipts}`;
    const got = new Promise((resolve) => this.client.watchForReceipt(id, () => resolve(true)));
    act(id);
    return { id, got };
  }

  async subscribe(destination, callback, headers = {}) {
    const { got } = this.#receipt((receipt) => this.client.subscribe(destination, callback, { ...headers, receipt }));
    const ended = this.failed.then((error) => Promise.reject(error));
    const closed = this.closed.then(() => Promise.reject(new Error('closed')));
    await within(15_000, `subscription of ${destination}`, Promise.race([got, ended, closed]));
  }

  /** Follows a room, from a cursor on if one is given. */
  follow(room, cursor) {
    const callback = (message) => {
      this.cursor = message.headers.cursor;
      this.heard.push(JSON.parse(message.body));
    };
    return this.subscribe(`/topic/chatroom/${room}`, callback, cursor === undefined ? {} : { cursor });
  }

  /** Sends a body. True once it is taken; the refusal where it is refused; undefined where the connection ends first. */
  async send(destination, body) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const { id, got } = this.#receipt((receipt) => this.client.publish({ destination, body: text, headers: { receipt } }));
    const refused = () => this.refusals.find(({ receipt }) => receipt === id);
    let over = false;
    const ended = this.closed.then(() => undefined);
    const told = until('an answer', () => over || refused()).then(refused);
    const answer = await Promise.race([got, told, ended]);
    over = true;
    return answer;
  }

  say(room, content, more = {}) {
    const message = { chatRoomId: room, senderId: this.user, senderNickname: `n${this.user}`, content, messageType: 'CHAT', ...more };
    return this.send('/app/chat.sendMessage', message);
  }

  /** The first `count` messages that were heard. */
  async hears(count, ms) {
    await until(`${count} messages at ${this.user}, ${this.heard.length} so far`, () => this.heard.length >= count, ms);
    return this.heard.slice(0, count);
  }
}
