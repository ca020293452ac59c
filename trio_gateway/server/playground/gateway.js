'use strict';
// What the gateway says about itself: its health, its upstreams, its models; and whether it asks for a key.

const HEALTH_POLL = 5_000;  // milliseconds
const MODEL_POLL = 30_000;
const TONES = {ok: 'good', degraded: 'warn', draining: 'warn', unavailable: 'bad'};
const BREAKERS = {
  closed: ['closed', 'good'],
  half_open: ['half open', 'warn'],
  open: ['open', 'bad'],
  forced_closed: ['held closed', 'good'],
  forced_open: ['held open', 'bad'],
};

let refused = null;  // the key that was not accepted, '' where none was shown; null: none was refused

async function getJSON(path, key = '') {
  const headers = authorization(key);
  const response = await fetch(path, {headers, cache: 'no-store', signal: AbortSignal.timeout(5000)});
  if (!response.ok) throw await refusal(response, key);
  return response.json();
}

async function pollHealth() {
  let health = {status: 'unreachable', upstreams: {}};
  try {
    health = await getJSON('health');
  } catch {
    // Shown as unreachable, and asked again.
  }
  const version = health.version ? ` · v${health.version}` : '';
  $('health').textContent = health.status + version;
  $('health').dataset.tone = TONES[health.status] ?? 'bad';
  $('upstreams').replaceChildren(...Object.entries(health.upstreams).map(upstreamItem));
}

function upstreamItem([name, {state, failure_rate, calls, in_flight, open_until_s, last_error_class}]) {
  const [word, tone] = BREAKERS[state] ?? [state, 'warn'];
  const facts = [
    `breaker ${word}`,
    open_until_s > 0 && `tries again in ${Math.ceil(open_until_s)} s`,
    in_flight > 0 && `${in_flight} running`,
    calls > 0 && `${Math.round(failure_rate * 100)} % of ${calls} failed`,
    last_error_class && `last error: ${last_error_class}`,
  ];
  const label = create('strong', name);
  label.className = 'dotted';
  label.dataset.tone = tone;
  const detail = create('span', facts.filter(Boolean).join(' · '));
  detail.className = 'quiet';
  return create('li', label, detail);
}

async function loadModels() {
  const key = shownKey();
  if (key === refused || $('key').validity.patternMismatch) return;  // the answer is known
  try {
    const {data} = await getJSON('v1/models', key);
    if (key !== shownKey()) return;  // another list is on its way
    judgeKey(key, true);
    showModels(data.map(({id}) => id));
  } catch (error) {
    if (error.facts?.status === 401) judgeKey(key, false);
    // Else what is shown stays, and it is asked again.
  }
}

function showModels(ids) {
  if (!ids.length) return;
  const {value, options} = $('model');
  if (ids.join('\n') === [...options].map(each => each.value).join('\n')) return;  // it may be open just now
  $('model').replaceChildren(...ids.map(id => create('option', id)));
  if (ids.includes(value)) $('model').value = value;
}

function shownKey() {
  return $('key').value.trim();
}

/** The gateway has accepted that key ('' is none), or not. The first time it does not, the field unfolds. */
function judgeKey(key, accepted) {
  if (key !== shownKey()) return;  // it was changed meanwhile
  if (!accepted && refused === null) $('key-box').open = true;
  refused = accepted ? null : key;
  tellKey();
  const {state} = document.body.dataset;
  if (state === 'idle' && !accepted) enter('locked', 'Needs a key');
  if (state === 'locked' && accepted) enter('idle', 'Ready');
}

/** Say below the key what is wrong with it, if anything is known to be. */
function tellKey() {
  const key = shownKey();
  const malformed = $('key').validity.patternMismatch;
  const wrong = malformed || key === refused;
  $('key').setAttribute('aria-invalid', String(wrong && key !== ''));
  $('key-hint').dataset.tone = !wrong ? 'none' : key ? 'bad' : 'warn';
  $('key-hint').textContent = malformed ? `${$('key').title}.`
    : !wrong ? 'Forgotten when this tab closes.'
    : key ? 'This key is not accepted.'
    : 'This gateway asks for a key. It is forgotten when this tab closes.';
}

/** A request with that key was refused: on to the place where it can be put right. */
function askForKey(key) {
  if (key !== shownKey()) return;
  judgeKey(key, false);
  $('key-box').open = true;
  $('key').focus({preventScroll: true});
  $('key').select();
  $('key-box').scrollIntoView({block: 'nearest'});  // on a narrow screen it is out of sight, focused or not
}

/** Do it now and then, but not in a hidden tab. */
function every(milliseconds, task) {
  const visible = () => { if (!document.hidden) task(); };
  setInterval(visible, milliseconds);
  document.addEventListener('visibilitychange', visible);
  visible();
}
