// The document is valid AsyncAPI 3, and another validator than that of the Rust tests reads its schemas the same way.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import Ajv from "ajv";
import addFormats from "ajv-formats";

const read = (url) => JSON.parse(readFileSync(url, "utf8"));
const document = read(new URL("../../chat-gateway/asyncapi.json", import.meta.url));
const specification = read(createRequire(import.meta.url).resolve("@asyncapi/specs/schemas/3.0.0-without-$id.json"));

/** Every reference in a value, with its place. */
function references(value, path = "#") {
  if (value === null || typeof value !== "object") return [];
  const own = typeof value.$ref === "string" ? [[path, value.$ref]] : [];
  return own.concat(Object.entries(value).flatMap(([key, inner]) => references(inner, `${path}/${key}`)));
}

function resolve(reference) {
  assert.ok(reference.startsWith("#/"), `${reference} leads out of the document`);
  return reference.slice(2).split("/").reduce((value, key) => value?.[key], document);
}

const messagesOf = (operations) => operations.flatMap((operation) => operation.messages.map(({ $ref }) => $ref));
const receiving = Object.values(document.operations).filter(({ action }) => action === "receive");
const sending = Object.values(document.operations).filter(({ action }) => action === "send");

const ajv = addFormats(new Ajv({ strict: false })).addSchema(document, "document.json");

/** A validator for one place of the document. */
const validator = (reference) => ajv.getSchema(`document.json${reference}`);

test("the document is valid AsyncAPI 3.0", () => {
  // Its own patterns are no Unicode patterns, and it names formats that nobody defines.
  const options = { strict: false, allErrors: true, unicodeRegExp: false, logger: false };
  const validate = addFormats(new Ajv(options)).compile(specification);
  assert.ok(validate(document), JSON.stringify(validate.errors?.slice(0, 5), null, 2));
  assert.equal(validate({ ...document, channels: [] }), false, "the specification refuses nothing");
});

test("every reference leads somewhere and stands alone", () => {
  const all = references(document);
  assert.ok(all.length > 100);
  for (const [place, reference] of all) {
    assert.notEqual(resolve(reference), undefined, `${place}: ${reference}`);
    const holder = resolve(place);
    // Beside a reference, draft 07 ignores everything else.
    assert.deepEqual(Object.keys(holder), ["$ref"], place);
  }
});

test("every component is used", () => {
  const used = new Set(references(document).map(([, reference]) => reference));
  for (const [kind, components] of Object.entries(document.components)) {
    for (const name of Object.keys(components)) {
      const reference = `#/components/${kind}/${name}`;
      // Named for whoever reads errors of HTTP and of the WebSocket alike; see the Rust tests.
      if (reference !== "#/components/schemas/HttpErrorCode") assert.ok(used.has(reference), reference);
    }
  }
});

test("every message of the channel is received, answered or sent", () => {
  const messages = Object.keys(document.channels.chat.messages);
  assert.deepEqual(messages, Object.keys(document.components.messages));
  const places = messages.map((name) => `#/channels/chat/messages/${name}`);
  const commands = places.filter((place) => place.endsWith("Command"));
  const frames = places.filter((place) => place.endsWith("Frame"));
  assert.equal(commands.length + frames.length, places.length);
  assert.deepEqual(messagesOf(receiving).sort(), commands.sort());
  const answers = messagesOf(receiving.map(({ reply }) => reply));
  const sent = messagesOf(sending.filter(({ channel }) => channel.$ref === "#/channels/chat"));
  assert.deepEqual([...new Set([...answers, ...sent])].sort(), frames.sort());
});

test("every message of the event stream is sent", () => {
  const places = Object.keys(document.channels.events.messages).map((name) => `#/channels/events/messages/${name}`);
  assert.deepEqual(messagesOf([document.operations.streamEvents]), places);
});

test("what is answered can be matched with its command", () => {
  const at = ({ correlationId }) => correlationId && resolve(correlationId.$ref).location;
  for (const { messages, reply } of receiving) {
    for (const { $ref } of messages) {
      const message = resolve(resolve($ref).$ref);
      assert.equal(at(message), "$message.payload#/id", $ref);
      assert.ok(message.payload.properties.id, $ref);
    }
    for (const { $ref } of reply.messages) {
      const message = resolve(resolve($ref).$ref);
      assert.equal(at(message), "$message.payload#/reply", $ref);
      assert.ok(message.payload.properties.reply, $ref);
    }
  }
});

test("every example is of its own message and of no other of its side", () => {
  const validators = Object.keys(document.components.messages).map((name) => [
    name,
    validator(`#/components/messages/${name}/payload`),
  ]);
  const sideOf = (name) => (name.endsWith("Command") ? "Command" : "Frame");
  for (const [name, { examples, payload }] of Object.entries(document.components.messages)) {
    assert.ok(examples.length > 0, `${name} has no example`);
    for (const example of examples) {
      const fitting = validators.filter(([other, valid]) => sideOf(other) === sideOf(name) && valid(example.payload));
      assert.deepEqual(fitting.map(([other]) => other), [name], `${name}: ${example.name}`);
    }
    for (const property of payload.required) {
      const { [property]: _, ...rest } = examples[0].payload;
      assert.equal(validator(`#/components/messages/${name}/payload`)(rest), false, `${name} without ${property}`);
    }
  }
});

test("the patterns mean in JavaScript what they mean in Rust", () => {
  const cases = [
    ["RoomId", ["shop:42.buyer-7", "r", "x".repeat(128)], ["", "a b", "a/b", "é", "x".repeat(129), "r\n"]],
    ["UserId", ["ann@example.com", "!~", "x".repeat(512)], ["", "a b", "é", "x".repeat(513), "\u007f"]],
    ["MessageId", ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01jgz5w3d8qj4r7n2m6k9h5b0c"], ["8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0".repeat(25), "I".repeat(26)]],
    ["Cursor", ["e.0", "e.9007199254740991", "a-_Z.42"], ["e.9007199254740992", "e.01", "e.-1", "e", ".1", "e.1 ", "e.10000000000000000"]],
    ["RoomsPlace", ["0.r", "18446744073709551615.a.b"], ["18446744073709551616.r", "+1.r", "01.r", "1.", "1"]],
    ["ReactionKey", ["👍", "plus-one", "é"], ["", "a b", "a\u00a0b", "a\u2028", "\u0085", "x".repeat(65)]],
    ["Text", [" a ", "a\nb", "\ufeff"], ["", " ", "\u3000\u00a0\n", "a\0b"]],
    ["Time", ["2026-01-01T00:00:00.000Z"], ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+00:00", "now"]],
  ];
  for (const [name, good, bad] of cases) {
    const valid = validator(`#/components/schemas/${name}`);
    for (const text of good) assert.ok(valid(text), `${name}: ${JSON.stringify(text)}`);
    for (const text of bad) assert.equal(valid(text), false, `${name}: ${JSON.stringify(text)}`);
  }
});
