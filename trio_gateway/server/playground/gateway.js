'use strict';
// What the gateway says about itself: its health, its upstreams, its models.

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

async function getJSON(path, headers = {}) {
  const response = await fetch(path, {headers, cache: 'no-store', signal: AbortSignal.timeout(5000)});
  if (!response.ok) throw await refusal(response);
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
  const key = $('key').value.trim();
  try {
    const {data} = await getJSON('v1/models', authorization(key));
    const ids = data.map(({id}) => id);
    if (!ids.includes('default')) ids.unshift('default');
    showModels(ids);
    $('key-hint').textContent = 'Forgotten when this tab closes.';
  } catch (error) {
    if (error.facts?.status === 401) {
      $('key-hint').textContent = key ? 'This key is not accepted.' : 'This gateway asks for a key.';
    }
  }
}

function showModels(ids) {
  const {value, options} = $('model');
  if (ids.join('\n') === [...options].map(each => each.value).join('\n')) return;  // it may be open just now
  $('model').replaceChildren(...ids.map(id => create('option', id)));
  if (ids.includes(value)) $('model').value = value;
}

/** Do it now and then, but not in a hidden tab. */
function every(milliseconds, task) {
  const visible = () => { if (!document.hidden) task(); };
  setInterval(visible, milliseconds);
  document.addEventListener('visibilitychange', visible);
  visible();
}
