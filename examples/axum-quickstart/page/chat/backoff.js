// When to try again, and whether to.

const BASE_MS = 500;
const CAP_MS = 30_000;

/** Full jitter: a random time in [0, min(30 s, 0.5 s · 2^attempt)). */
export function jitter(attempt, random = Math.random) {
  // The exponent is capped too: 2^1100 is Infinity, and 0 · Infinity is not a time to wait.
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
}

/** How long to wait after a retryable error: what the server asked for, or a jittered time. */
export function retryDelay(error, attempt, random = Math.random) {
  return validDelay(error?.retryAfterMs) ?? jitter(attempt, random);
}

/** A delay the server named, or undefined where it named none that makes sense. */
export function validDelay(milliseconds) {
  const usable = typeof milliseconds === 'number' && milliseconds >= 0 && milliseconds < 2 ** 31;
  return usable ? milliseconds : undefined;
}

const RETRYABLE = new Set(['busy', 'rate_limited', 'timeout', 'unavailable', 'disconnected']);
const NEEDS_TOKEN = new Set(['token_expired', 'token_revoked', 'unauthenticated']);
const DO_NOT_RECONNECT = new Set(['replaced', 'frame_too_large', 'binary_frame', 'malformed', 'invalid_url']);

/** The codes of WebSocket closes, for when the `closing` frame itself was lost. */
const CODE_OF_CLOSE = new Map([
  [4000, 'draining'],
  [4001, 'unauthenticated'],
  [4002, 'replaced'],
  [4003, 'connect_timeout'],
  [4004, 'malformed'],
  [4005, 'too_slow'],
  [4006, 'idle'],
  [4011, 'internal'],
]);

export const closeReason = (webSocketCode) => CODE_OF_CLOSE.get(webSocketCode) ?? 'disconnected';
export const needsToken = (code) => NEEDS_TOKEN.has(code);
export const mayReconnect = (code) => !DO_NOT_RECONNECT.has(code);

/** An error the server sent, or one of the client's own: `timeout`, `disconnected`, `frame_too_large`. */
export class ChatError extends Error {
  constructor({ code, message, retryable, retryAfterMs }) {
    super(message ?? code);
    this.name = 'ChatError';
    this.code = code;
    this.retryable = typeof retryable === 'boolean' ? retryable : RETRYABLE.has(code);
    this.retryAfterMs = validDelay(retryAfterMs);
  }
}
