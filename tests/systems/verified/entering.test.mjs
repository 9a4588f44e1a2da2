// Who gets in, with which words others do not, and when a socket ends.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { event, jwt, request, until } from '../server.mjs';
import { Stage } from './stage.mjs';
import { Wallet, now } from './wallet.mjs';

let stage, one, two;

before(async () => {
  stage = await Stage.open({ CLOCK_LEEWAY: '0s' });
  [one, two] = await Promise.all([stage.start(), stage.start()]);
});
after(() => stage.close());

test('the presentation may be in `auth` under several names, or in a header', async () => {
  for (const name of ['presentation', 'vp', 'verifiablePresentation']) {
    const ann = stage.person('ann');
    await stage.connect(one, { token: ann.token, [name]: ann.present() });
  }
  const ann = stage.person('ann', { kind: 'ed25519' });
  await stage.connect(one, { token: ann.token }, { extraHeaders: { 'x-presentation': ann.present() } });
  await stage.connect(one, {}, { extraHeaders: { authorization: `Bearer ${ann.token}`, 'x-presentation': ann.present() } });
});

test('the token names the holder, is the holder, or the credential names the user', async () => {
  const wallet = new Wallet();
  const credential = stage.issuer.issue(wallet, 'somebody');
  const enter = (claims) => stage.refusal(one, { token: jwt(claims), presentation: wallet.present(credential) }).catch(() => 'in');
  assert.equal(await enter({ sub: wallet.did }), 'in');
  assert.equal(await enter({ sub: '7', did: wallet.did }), 'in');
  assert.equal(await enter({ sub: 'somebody' }), 'in');
  for (const claims of [{ sub: 'ann' }, { sub: 'somebody', did: new Wallet().did }, { sub: new Wallet().did }]) {
    assert.match(await enter(claims), /the presentation is of somebody else than the token/);
  }
});

test('whoever is refused is told what is wrong, and nothing secret', async () => {
  const ann = stage.person('ann');
  const mallory = new Wallet('p256');
  const { wallet, credential } = ann;
  const stranger = new Wallet();
  const cases = [
    [{}, 'no credentials were given'],
    [{ token: 'nonsense' }, 'the credentials are malformed'],
    [{ token: jwt({ sub: 'ann' }, { secret: 'another secret that is long enough' }) }, 'the signature is wrong'],
    [{ token: jwt({ sub: 'ann' }, { seconds: -1 }) }, 'the credentials have expired'],
    [{ token: ann.token }, 'the presentation is missing'],
    [{ token: ann.token, presentation: 7 }, 'the presentation is missing'],
    [{ token: ann.token, presentation: 'nonsense' }, 'the presentation is malformed'],
    [{ token: ann.token, presentation: ann.present({ exp: now() - 1 }) }, 'the presentation has expired'],
    [{ token: ann.token, presentation: ann.present({ nbf: now() + 60 }) }, 'the presentation is not valid yet'],
    [{ token: ann.token, presentation: ann.present({ aud: 'https://shop.example' }) }, 'the presentation is meant for another audience'],
    [{ token: ann.token, presentation: ann.present({ nonce: undefined }) }, 'the presentation has no nonce'],
    [{ token: ann.token, presentation: ann.present({ iat: undefined, exp: undefined }) }, 'the presentation has no expiry'],
    [{ token: ann.token, presentation: mallory.present(credential) }, 'the credential is about somebody else than the holder'],
    [{ token: ann.token, presentation: mallory.sign({ ...JSON.parse(atob(ann.present().split('.')[1])) }) }, 'the presentation is signed by a key that is not known'],
    [{ token: ann.token, presentation: wallet.present(stranger.issue(wallet, 'ann')) }, 'the credential has an issuer that is not trusted'],
    [{ token: ann.token, presentation: wallet.present(stage.issuer.issue(wallet, 'ann', { exp: now() - 1 })) }, 'the credential has expired'],
    [{ token: ann.token, presentation: wallet.present(stage.issuer.issue(wallet, 'ann', { sub: undefined, vc: { type: ['VerifiableCredential'], credentialSubject: {} } })) }, 'the credential is not bound to a holder'],
    [{ token: ann.token, presentation: wallet.present([]) }, 'the presentation has no credential'],
    [{ token: ann.token, presentation: `${ann.present()}${'A'.repeat(33_000)}` }, 'the presentation is too large'],
  ];
  for (const [auth, words] of cases) {
    const said = await stage.refusal(one, auth);
    assert.ok(said.includes(words), `${said} / ${words}`);
    for (const secret of [ann.token, wallet.did, stage.issuer.did]) assert.ok(!said.includes(secret));
  }
});

test('a nonce is for one presentation, on every instance', async () => {
  const ann = stage.person('ann');
  await stage.enter(one, ann, { nonce: 'just this once' });
  const said = await stage.refusal(two, { token: ann.token, presentation: ann.present({ nonce: 'just this once' }) });
  assert.match(said, /the presentation has a nonce that was used before/);
});

test('with a secret for nonces, only those that were given out are taken', async () => {
  const env = { NONCE_SECRET: 'another secret for tests that is long enough', REDIS_PREFIX: `${stage.env.REDIS_PREFIX}_nonces` };
  const strict = await stage.start(env);
  const ann = stage.person('ann');
  const { body } = await request('POST', `${strict.url}/auth/nonce`);
  assert.ok(Date.parse(body.expiresAt) > Date.now());
  await stage.enter(strict, ann, { nonce: body.nonce });
  const said = await stage.refusal(strict, { token: ann.token, presentation: ann.present() });
  assert.match(said, /the presentation has a nonce that was not given out here in time/);
  assert.equal((await request('POST', `${one.url}/auth/nonce`)).status, 404);
});

test('a second session with a presentation ends the first, on the same instance and on another', async () => {
  const ann = stage.person('ann');
  const auth = { token: ann.token, presentation: ann.present() };
  let held = await stage.connect(one, auth);
  for (const server of [one, two, one]) {
    const ended = event(held, 'disconnect');
    const next = await stage.connect(server, auth);
    assert.equal(await ended, 'io server disconnect');
    held = next;
  }
  // Another presentation is another session.
  await stage.enter(two, ann);
  assert.ok(held.connected);
});

test('a token that is withdrawn ends its sockets everywhere and opens no more', async () => {
  const ann = stage.person('ann');
  const other = { ...ann, token: jwt({ sub: 'ann', jti: 'another' }) };
  const [first, second, kept] = [await stage.enter(one, ann), await stage.enter(two, ann), await stage.enter(one, other)];
  const ended = Promise.all([event(first, 'disconnect'), event(second, 'disconnect')]);
  assert.equal((await request('POST', `${two.url}/auth/logout`, { token: ann.token })).status, 204);
  assert.deepEqual(await ended, ['io server disconnect', 'io server disconnect']);
  const auth = { token: ann.token, presentation: ann.present() };
  for (const server of [one, two]) assert.match(await stage.refusal(server, auth), /revoked/);
  assert.ok(kept.connected);
  assert.equal((await request('POST', `${one.url}/auth/logout`, { token: 'nonsense' })).status, 401);
  assert.equal((await request('POST', `${one.url}/auth/logout`)).status, 401);
});

test('a session ends with its credential, and what is remembered does not outlive it', async () => {
  const ann = stage.person('ann');
  const ends = now() + 3;
  const credential = stage.issuer.issue(ann.wallet, 'ann', { exp: ends });
  const auth = { token: ann.token, presentation: ann.wallet.present(credential) };
  const socket = await stage.connect(one, auth);
  const again = await stage.connect(two, { ...auth, presentation: ann.wallet.present(credential) });
  await Promise.all([event(socket, 'disconnect'), event(again, 'disconnect')]);
  assert.ok(now() >= ends);
  for (const server of [one, two]) assert.match(await stage.refusal(server, auth), /the credential has expired/);
});

test('whoever was let in on one instance is remembered on the other', async () => {
  const redis = stage.env.REDIS_PREFIX;
  const ann = stage.person('ann');
  const auth = { token: ann.token, presentation: ann.present() };
  const first = await stage.connect(one, auth);
  first.disconnect();
  await until('the socket of the other instance', () => stage.connect(two, auth).then((socket) => socket.connected));
  assert.ok(redis.startsWith('verified_'));
});

test('whom other settings let in is checked again', async () => {
  const ann = stage.person('ann');
  const auth = { token: ann.token, presentation: ann.present() };
  await stage.connect(one, auth);
  const other = await stage.start({ TRUSTED_ISSUERS: new Wallet().did });
  assert.match(await stage.refusal(other, auth), /the credential has an issuer that is not trusted/);
});

test('a page of another origin is not let in', async () => {
  const ann = stage.person('ann');
  const refused = stage.connect(one, { token: ann.token, presentation: ann.present() }, { extraHeaders: { origin: 'https://evil.example' } });
  await assert.rejects(refused, /may not connect/);
});
