// sockjs-client over each transport that it has outside of a browser.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import SockJS from "sockjs-client";

import { Inbox, inTime, startServer } from "./server.mjs";

const TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];

let server;
const sockets = [];
afterEach(() => sockets.splice(0).forEach((sock) => sock.close()));
before(async () => (server = await startServer("--sockjs-heartbeat-ms", "700")));
after(() => server.stop());

/** A socket that is forced to one transport. */
function socket(path, transport) {
  const sock = new SockJS(server.url + path, null, { transports: [transport] });
  sockets.push(sock);
  const inbox = new Inbox();
  sock.onmessage = ({ data }) => inbox.add(data);
  sock.onheartbeat = () => (inbox.heartbeats = (inbox.heartbeats ?? 0) + 1);
  const opened = new Promise((resolve, reject) => {
    sock.onopen = resolve;
    sock.addEventListener("close", ({ code, reason }) => reject(new Error(`${code} ${reason}`)));
  });
  const closed = new Promise((resolve) => sock.addEventListener("close", resolve));
  return { sock, inbox, closed, opened: inTime(opened, "open") };
}

for (const transport of TRANSPORTS) {
  test(`${transport}: what is sent comes back in order`, async () => {
    const { sock, inbox, opened } = socket("/echo", transport);
    await opened;
    assert.equal(sock.transport, transport);
    const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
    for (const text of sent) sock.send(text);
    assert.deepEqual(await inbox.take(sent.length), sent);
  });

  test(`${transport}: any text comes back as it was`, async () => {
    const { sock, inbox, opened } = socket("/echo", transport);
    await opened;
    const everything = Array.from({ length: 0xd800 }, (_, i) => String.fromCharCode(i)).join("");
    const rest = Array.from({ length: 0x2000 }, (_, i) => String.fromCharCode(0xe000 + i)).join("");
    const sent = ["", "%41 %zz %", "\0\n\r \u2028</script>", "😀 é \uffff", everything, rest];
    for (const text of sent) sock.send(text);
    assert.deepEqual(await inbox.take(sent.length), sent);
    sock.send("\ud83d");
    assert.deepEqual(await inbox.take(1), ["\ufffd"], "half a character");
  });

  test(`${transport}: more than a streaming answer holds comes whole`, async () => {
    const { sock, inbox, opened } = socket("/amplify", transport);
    await opened;
    const exponents = [0, 12, 19, 3, 13, 1, 17];
    for (const exponent of exponents) sock.send(String(exponent));
    const lengths = (await inbox.take(exponents.length)).map((text) => text.length);
    assert.deepEqual(lengths, exponents.map((exponent) => 2 ** exponent));
  });

  test(`${transport}: the server's close says why`, async () => {
    const { closed } = socket("/close", transport);
    const { code, reason, wasClean } = await inTime(closed, "close");
    assert.deepEqual({ code, reason, wasClean }, { code: 3000, reason: "Go away!", wasClean: true });
  });

  test(`${transport}: a silent session is kept alive`, async () => {
    const { sock, inbox, opened } = socket("/echo", transport);
    await opened;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.ok(inbox.heartbeats >= 2, `${inbox.heartbeats} heartbeats`);
    sock.send("still here");
    assert.deepEqual(await inbox.take(1), ["still here"]);
  });
}

test("without WebSockets the client falls back by itself", async () => {
  const sock = new SockJS(`${server.url}/disabled_websocket_echo`);
  await inTime(new Promise((resolve) => (sock.onopen = resolve)), "open");
  assert.notEqual(sock.transport, "websocket");
  const echoed = new Promise((resolve) => (sock.onmessage = ({ data }) => resolve(data)));
  sock.send("x");
  assert.equal(await inTime(echoed, "echo"), "x");
  sock.close();
});

test("a service that is not there is told", async () => {
  const sock = new SockJS(`${server.url}/nothing`);
  const { code } = await inTime(new Promise((resolve) => (sock.onclose = resolve)), "close");
  assert.equal(code, 1002);
});
