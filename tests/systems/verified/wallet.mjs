// Issuers and holders: keys, identifiers that hold them, and what is signed by them.

import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';

export const AUDIENCE = 'https://chat.example';

const base64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export const now = () => Math.floor(Date.now() / 1000);

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

function base58(bytes) {
  let number = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  return text;
}

/** Somebody with an Ed25519 key (did:key) or a P-256 key (did:jwk). */
export class Wallet {
  constructor(kind = 'ed25519') {
    const pair = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.key = pair.privateKey;
    const jwk = pair.publicKey.export({ format: 'jwk' });
    if (kind === 'ed25519') {
      const name = `z${base58([0xed, 0x01, ...Buffer.from(jwk.x, 'base64url')])}`;
      [this.alg, this.did, this.kid] = ['EdDSA', `did:key:${name}`, `did:key:${name}#${name}`];
    } else {
      const did = `did:jwk:${base64({ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y })}`;
      [this.alg, this.did, this.kid] = ['ES256', did, `${did}#0`];
    }
  }

  sign(claims, header = {}) {
    const text = `${base64({ alg: this.alg, typ: 'JWT', kid: this.kid, ...header })}.${base64(claims)}`;
    const hash = this.alg === 'ES256' ? 'sha256' : null;
    const signature = sign(hash, Buffer.from(text), { key: this.key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }

  /** A credential about `holder`, for the user of this id. */
  issue(holder, user, changes = {}) {
    return this.sign({
      iss: this.did, sub: holder.did, jti: `urn:uuid:${randomUUID()}`, nbf: now() - 60, exp: now() + 3_600,
      vc: {
        '@context': ['https://www.w3.org/2018/credentials/v1'], type: ['VerifiableCredential', 'MembershipCredential'],
        credentialSubject: { id: holder.did, userId: user },
      },
      ...changes,
    });
  }

  /** A presentation of credentials. */
  present(credentials, changes = {}) {
    return this.sign({
      iss: this.did, aud: AUDIENCE, nonce: randomUUID(), iat: now(), exp: now() + 600,
      jti: randomUUID(),
      vp: {
        '@context': ['https://www.w3.org/2018/credentials/v1'], type: ['VerifiablePresentation'],
        verifiableCredential: [credentials].flat(),
      },
      ...changes,
    });
  }
}
