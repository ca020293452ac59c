'use strict';
// What the gateway says about itself: its health, its upstreams, its models; and whether it asks for a key.

const HEALTH_POLL = 5_000;  // milliseconds
const MODEL_POLL = 30_000;
const TONES = {ok: 'good', degraded: 'warn', draining: 'warn', unavailable: 'bad'};
const STATES = {  // of an upstream's breaker: what a request would meet, and how good that is
  closed: ['takes requests', 'good'],
  half_open: ['being tried again', 'warn'],
  open: ['paused', 'bad'],
  forced_closed: ['takes requests, whatever happens', 'good'],
  forced_open: ['taken out of use', 'bad'],
};

let advice = new Map();  // by model
let answering = null;  // the upstreams that answered when the models were asked for last
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
  $('health').title = $('health').textContent;
  $('health').dataset.tone = TONES[health.status] ?? 'bad';
  const upstreams = Object.entries(health.upstreams);
  $('upstreams').replaceChildren(...upstreams.map(upstreamItem));
  const now = upstreams.filter(([, {reachable}]) => reachable).map(([name]) => name).join('\n');
  if (now !== answering) {  // what an upstream has is known once it has answered
    answering = now;
    await loadModels();
  }
}

function upstreamItem([name, upstream]) {
  const {state, failure_rate, calls, in_flight, open_until_s, last_error_class, last_error_age_s, reachable, seen_s} = upstream;
  let [words, tone] = STATES[state] ?? [state, 'warn'];
  if (reachable === false && tone === 'good') [words, tone] = ['does not answer', 'bad'];
  const age = last_error_age_s ?? (reachable === false ? seen_s : undefined);
  const facts = [
    open_until_s > 0 && `tries again in ${Math.ceil(open_until_s)} s`,
    in_flight > 0 && `${in_flight} running`,
    calls > 0 && `${Math.round(failure_rate * 100)} % of the last ${calls} failed`,
    last_error_class && `last error: ${last_error_class.replaceAll('_', ' ')}${age > 0 ? `, ${Math.round(age)} s ago` : ''}`,
  ];
  const label = make('strong', 'dotted', name);
  label.dataset.tone = tone;
  return create('li', label, ` ${words}`, make('span', 'quiet', facts.filter(Boolean).join(' · ')));
}

async function loadModels() {
  const key = shownKey();
  if (key === refused || $('key').validity.patternMismatch) return;  // the answer is known
  try {
    const {data} = await getJSON('v1/models', key);
    if (key !== shownKey()) return;  // another list is on its way
    judgeKey(key, true);
    showModels(data);
  } catch (error) {
    if (error.facts?.status === 401) judgeKey(key, false);
    // Else what is shown stays, and it is asked again.
  }
}

function showModels(models) {
  if (!models.length) return;
  advice = new Map(models.map(({id, capabilities}) => [id, capabilities.advice]));
  showAdvice();
  const groups = new Map();
  for (const {id, owned_by: owner} of models) groups.set(owner, [...groups.get(owner) ?? [], id]);
  fillModels($('model'), groups, []);
  fillModels($('second'), groups, [$('second').options[0]]);
}

/** What the gateway advises about the chosen models, if anything. */
function showAdvice() {
  const words = [...new Set([$('model').value, $('second').value].map(id => advice.get(id)))].filter(Boolean);
  $('advice').hidden = !words.length;
  const text = words.map(each => `Advice: ${each}`).join('\n');
  if ($('advice').textContent !== text) $('advice').textContent = text;
}

/** The models in a list, grouped by upstream where there is more than one. */
function fillModels(select, groups, first) {
  const ids = [...groups.values()].flat();
  const shown = [...select.options].slice(first.length).map(each => each.value);
  if (ids.join('\n') === shown.join('\n')) return;  // it may be open just now
  const wanted = select.dataset.wanted ?? select.value;
  const items = [...groups].flatMap(([owner, each]) => {
    const options = each.map(id => new Option(id, id));
    if (groups.size < 2) return options;
    const group = create('optgroup', ...options);
    group.label = owner;
    return [group];
  });
  select.replaceChildren(...first, ...items);
  if (ids.includes(wanted)) select.value = wanted;
}

function shownKey() {
  return $('key').value.trim();
}

/** The gateway has accepted that key ('' is none), or not. The first time it does not, the field unfolds. */
function judgeKey(key, accepted) {
  if (key !== shownKey()) return;  // it was changed meanwhile
  if (!accepted && refused === null) $('key-box').hidden = false;
  refused = accepted ? null : key;
  tellKey();
  const {state} = document.body.dataset;
  if (state === 'idle' && !accepted) showState('locked', 'Needs a key');
  if (state === 'locked' && accepted) showState('idle', 'Ready');
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
  $('key-box').hidden = false;
  $('key').focus({preventScroll: true});
  $('key').select();
}

/** Do it now and then, but not in a hidden tab. */
function every(milliseconds, task) {
  const visible = () => { if (!document.hidden) task(); };
  setInterval(visible, milliseconds);
  document.addEventListener('visibilitychange', visible);
}
