// @stomp/stompjs over a plain WebSocket and over each transport of sockjs-client.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Client, Versions } from "@stomp/stompjs";
import SockJS from "sockjs-client";
import WebSocket from "ws";

import { Inbox, inTime, startServer } from "./server.mjs";

let server;
const clients = [];
afterEach(() => Promise.all(clients.splice(0).map((client) => client.deactivate({ force: true }))));
before(async () => (server = await startServer("--stomp-heartbeat-ms", "400", "--stomp-tolerance-ms", "100")));
after(() => server.stop());

const WAYS = {
  websocket: () => ({
    webSocketFactory: () => new WebSocket(`${server.url.replace("http", "ws")}/stomp`, ["v12.stomp", "v11.stomp"]),
  }),
  "websocket beside sockjs": () => ({
    webSocketFactory: () => new WebSocket(`${server.url.replace("http", "ws")}/stomp-sockjs`, ["v12.stomp"]),
  }),
  ...Object.fromEntries(
    ["websocket", "xhr-streaming", "eventsource", "xhr-polling"].map((transport) => [
      `sockjs ${transport}`,
      () => ({ webSocketFactory: () => new SockJS(`${server.url}/stomp-sockjs`, null, { transports: [transport] }) }),
    ]),
  ),
};

/** A client that is connected. */
async function connect(way, options = {}) {
  const errors = new Inbox();
  const client = new Client({ ...WAYS[way](), reconnectDelay: 0, ...options });
  clients.push(client);
  client.onStompError = (frame) => errors.add(frame);
  const closed = new Promise((resolve) => (client.onWebSocketClose = resolve));
  const connected = new Promise((resolve) => (client.onConnect = resolve));
  client.activate();
  return { client, errors, closed, frame: await inTime(connected, "CONNECTED") };
}

/** Sends with a receipt and waits for it. */
function receipt(client, act) {
  const id = `r-${Math.random()}`;
  const got = new Promise((resolve) => client.watchForReceipt(id, resolve));
  act(id);
  return inTime(got, "RECEIPT");
}

const publish = (client, destination, body, headers = {}) =>
  receipt(client, (id) => client.publish({ destination, body, headers: { ...headers, receipt: id } }));

for (const way of Object.keys(WAYS)) {
  const topic = `/topic/${way.replaceAll(" ", "-")}`;

  test(`${way}: subscribe, send, unsubscribe, disconnect`, async () => {
    const { client, frame } = await connect(way);
    assert.equal(frame.headers.version, "1.2");
    assert.equal(frame.headers["heart-beat"], "400,400");
    const inbox = new Inbox();
    let subscription;
    await receipt(client, (id) => {
      subscription = client.subscribe(topic, (message) => inbox.add(message), { receipt: id });
    });
    const bodies = ["hello", "", "a\0b", "é 😀\n", JSON.stringify({ a: 1 })];
    for (const body of bodies) {
      client.publish({ destination: topic, body, headers: { "content-type": "text/plain", custom: "a:b\n\\x" } });
    }
    const messages = await inbox.take(bodies.length);
    assert.deepEqual(messages.map(({ body }) => body), bodies);
    const { headers } = messages[0];
    assert.equal(headers.subscription, subscription.id);
    assert.equal(headers.destination, topic);
    assert.equal(headers["content-type"], "text/plain");
    assert.equal(headers.custom, "a:b\n\\x", "headers are escaped both ways");
    assert.equal(new Set(messages.map((message) => message.headers["message-id"])).size, bodies.length);
    await receipt(client, (id) => subscription.unsubscribe({ receipt: id }));
    await publish(client, topic, "nobody hears this");
    assert.deepEqual(inbox.items, []);
    const gone = new Promise((resolve) => (client.onDisconnect = resolve));
    await client.deactivate();
    await inTime(gone, "receipt of DISCONNECT");
  });

  test(`${way}: heart-beats keep a silent connection`, async () => {
    const { client, errors } = await connect(way, { heartbeatIncoming: 400, heartbeatOutgoing: 400 });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    assert.ok(client.connected, "closed in silence");
    await publish(client, topic, "still here");
    assert.deepEqual(errors.items, []);
    await client.deactivate();
  });
}

test("transactions hold what they are given", async () => {
  const { client } = await connect("websocket");
  const inbox = new Inbox();
  client.subscribe("/topic/tx", ({ body }) => inbox.add(body), { ack: "client-individual" });
  const send = (transaction, body) =>
    publish(client, "/topic/tx", body, { transaction: transaction.id });
  const first = client.begin();
  await send(first, "1");
  await send(first, "2");
  const second = client.begin();
  await send(second, "dropped");
  await publish(client, "/topic/tx", "before");
  first.commit();
  second.abort();
  await publish(client, "/topic/tx", "after");
  assert.deepEqual(await inbox.take(4), ["before", "1", "2", "after"]);
  await client.deactivate();
});

test("messages are confirmed in every mode", async () => {
  for (const version of ["1.0", "1.1", "1.2"]) {
    const { client, frame } = await connect("websocket", { stompVersions: new Versions([version]) });
    assert.equal(frame.headers.version, version);
    for (const ack of ["auto", "client", ...(version === "1.0" ? [] : ["client-individual"])]) {
      const inbox = new Inbox();
      const subscription = client.subscribe(`/topic/ack-${ack}`, (message) => inbox.add(message), { ack });
      await publish(client, `/topic/ack-${ack}`, "x");
      const [message] = await inbox.take(1);
      if (ack !== "auto") {
        message.ack();
        if (version !== "1.0") message.nack();
      }
      subscription.unsubscribe();
      await publish(client, "/topic/other", "still connected");
    }
    await client.deactivate();
  }
});

test("binary bodies come back as they were", async () => {
  const { client } = await connect("websocket");
  const inbox = new Inbox();
  client.subscribe("/topic/binary", (message) => inbox.add([...message.binaryBody]));
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  client.publish({ destination: "/topic/binary", binaryBody: bytes });
  assert.deepEqual(await inbox.take(1), [[...bytes]]);
  await client.deactivate();
});

test("a large message may come in pieces", async () => {
  const options = { splitLargeFrames: true, maxWebSocketChunkSize: 1_000 };
  const { client } = await connect("websocket", options);
  const inbox = new Inbox();
  client.subscribe("/topic/large", ({ body }) => inbox.add(body));
  const body = "é".repeat(100_000);
  client.publish({ destination: "/topic/large", body });
  assert.deepEqual(await inbox.take(1), [body]);
  await client.deactivate();
});

test("what cannot be is an ERROR, and the end", async () => {
  for (const act of [
    (client) => client.subscribe("/queue/none", () => {}),
    (client) => client.publish({ destination: "/app/none", body: "x" }),
    (client) => client.publish({ destination: "/topic/a", body: "x", headers: { transaction: "none" } }),
    (client) => client.publish({ destination: "/topic/a", body: "x".repeat(1024 * 1024 + 1) }),
  ]) {
    const { client, errors, closed } = await connect("websocket");
    act(client);
    const [error] = await errors.take(1, "ERROR");
    assert.ok(error.headers.message, "it says what is wrong");
    await inTime(closed, "close");
  }
});

test("a client that promised to speak and does not is closed", async () => {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/stomp`);
  const inbox = new Inbox();
  socket.on("message", (data) => inbox.add(String(data)));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  await inTime(new Promise((resolve) => socket.on("open", resolve)), "open");
  socket.send("CONNECT\naccept-version:1.2\nheart-beat:100,0\n\n\0");
  const [connected] = await inbox.take(1);
  assert.match(connected, /^CONNECTED\n/);
  const [error] = await inbox.take(1, "ERROR");
  assert.match(error, /^ERROR\n[^]*code:idle\n/);
  await inTime(closed, "close");
});
