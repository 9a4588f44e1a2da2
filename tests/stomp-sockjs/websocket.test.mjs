// The plain WebSocket beside the protocols.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { Inbox, inTime, startServer } from "./server.mjs";

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

async function open() {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/ws-echo`);
  const inbox = new Inbox();
  socket.on("message", (data, isBinary) => inbox.add({ data, isBinary }));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => {});
  await inTime(new Promise((resolve) => socket.on("open", resolve)), "open");
  return { socket, inbox, closed };
}

test("text and binary come back as what they were, up to the limit", async () => {
  const { socket, inbox } = await open();
  const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i));
  for (const sent of ["", "é 😀", "x".repeat(16 * 1024 * 1024), bytes, Buffer.alloc(16 * 1024 * 1024, 7)]) {
    socket.send(sent);
    const [{ data, isBinary }] = await inbox.take(1, "echo");
    assert.equal(isBinary, typeof sent !== "string");
    assert.ok(data.equals(Buffer.from(sent)));
  }
  socket.close();
});

test("one more byte is the end", async () => {
  const { socket, closed } = await open();
  socket.send(Buffer.alloc(16 * 1024 * 1024 + 1));
  await inTime(closed, "close");
});
