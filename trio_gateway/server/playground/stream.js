'use strict';
// How an answer is fetched: two transports, one shape. Each sends the request and calls
// `receive(event, data)` for every event until "[DONE]"; it throws a GatewayError, or what the
// browser throws, and when `signal` is aborted it gives the connection up, which cancels upstream.

const CHAT = new URL('v1/chat/completions', location.href);

/** A failure that can be told; `facts` are the fields of the gateway's error object. */
class GatewayError extends Error {
  constructor(message, facts = {}) {
    super(message);
    this.facts = facts;
  }
}

async function overSSE(body, key, signal, receive) {
  let response;
  try {
    response = await fetch(CHAT, {
      method: 'POST',
      headers: {'Content-Type': 'application/json', ...authorization(key)},
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw unreachable();
  }
  if (!response.ok) throw await refusal(response, key);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let event = 'message';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) throw new GatewayError('The stream broke off before its end.');
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      // The gateway writes an event's data on one line; a line with a leading colon is a sign of life.
      if (line.startsWith('event: ')) event = line.slice(7);
      else if (line === 'data: [DONE]') return;
      else if (line.startsWith('data: ')) receive(event, JSON.parse(line.slice(6)));
      else if (line === '') event = 'message';
    }
  }
}

function overWebSocket(body, key, signal, receive) {
  const url = new URL(CHAT);
  url.protocol = url.protocol.replace('http', 'ws');
  return new Promise((resolve, reject) => {
    // A browser cannot set a WebSocket's headers: the key travels as a subprotocol, which is an HTTP token.
    if (/[^\w!#$%&'*+.^`|~-]/.test(key)) {
      throw new GatewayError('This key holds characters that a WebSocket cannot carry. SSE can.');
    }
    const socket = new WebSocket(url, key ? [`key.${key}`] : []);
    let opened = false;
    socket.onopen = () => {
      opened = true;
      socket.send(JSON.stringify(body));
    };
    socket.onmessage = message => {
      const {event, data} = JSON.parse(message.data);
      if (data === '[DONE]') {
        socket.close(1000);
        resolve();
      } else if (!signal.aborted) {
        receive(event, data);
      }
    };
    socket.onclose = async ({code, reason}) => {
      if (signal.aborted) return;
      if (!opened) return reject(await whyNotOpened(key));
      const why = CLOSED[code] ?? 'The connection broke off.';
      reject(new GatewayError(why, {code: reason || undefined, status: code}));
    };
    signal.addEventListener('abort', () => {
      if (opened) socket.send('{"type": "cancel"}');
      setTimeout(() => socket.close(1000), opened ? 1000 : 0);  // where no [DONE] comes
      reject(signal.reason);
    });
  });
}

/** A browser keeps to itself what an upgrade was refused with; a request with the same key is told. */
async function whyNotOpened(key) {
  try {
    await getJSON('v1/models', key);
  } catch (error) {
    return error instanceof GatewayError ? error : unreachable();
  }
  return new GatewayError('No WebSocket could be opened, though the gateway answers: '
    + 'something in between may let none through. SSE will do.');
}

function unreachable() {
  return new GatewayError('The gateway cannot be reached. Is it running?');
}

const CLOSED = {
  1008: 'The gateway closed the connection: too many messages, or the key is no longer good.',
  1009: 'The request is too large.',
  1011: 'The gateway made a mistake.',
  1012: 'The gateway is restarting. Try again in a moment.',
  1013: 'The gateway is overloaded. Try again in a moment.',
};

function authorization(key) {
  return key ? {Authorization: `Bearer ${key}`} : {};
}

/** What an answer with an error status says; a proxy's may not be ours, and not JSON. */
async function refusal(response, key) {
  const facts = {
    status: response.status,
    retry_after: response.headers.get('Retry-After') ?? undefined,
    request_id: response.headers.get('X-Request-Id') ?? undefined,
  };
  try {
    const {error} = await response.json();
    const message = error.code === 'invalid_api_key' ? keyRefused(key) : error.message;
    return new GatewayError(message, {...facts, ...error});
  } catch {
    return new GatewayError('Something answered in place of the gateway.', facts);
  }
}

/** The gateway's own words are for programs: they speak of a header. */
function keyRefused(key) {
  return key
    ? 'This gateway does not accept this key: it may be mistyped, expired or revoked.'
    : 'This gateway asks for a key. Enter it above the message, then try again.';
}
