'use strict';
// The page: its form and keys, what is copied from it, what it remembers.

const form = $('request');
let current = null;  // the run in progress

function requestBody() {
  return {
    model: $('model').value,
    messages: [{role: 'user', content: $('prompt').value}],
    stream: true,
    stream_options: {include_usage: true},
    gateway: {format: 'phases', reasoning: $('raw').checked ? 'both' : 'summary'},
  };
}

form.addEventListener('submit', async event => {
  event.preventDefault();
  if (current) return;
  current = new Run();
  const below = $('answer').getBoundingClientRect().top > innerHeight / 2;  // on a narrow screen
  if (below) $('answer').scrollIntoView();
  await current.go(requestBody(), form.elements.transport.value === 'sse' ? overSSE : overWebSocket);
  const {state} = current;
  current = null;
  pollHealth();
  if (state === 'done' && refused !== null) {  // it is asked for no more, or is a good one by now
    refused = null;
    loadModels();
  }
});

$('stop').addEventListener('click', () => current?.abort.abort());

document.addEventListener('keydown', event => {
  if (event.isComposing) return;
  if (event.key === 'Escape' && current) current.abort.abort();
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
});

$('examples').addEventListener('click', event => {
  if (event.target.type !== 'button') return;
  $('prompt').value = event.target.textContent;
  $('prompt').focus();
});

// Copy as: the key is never copied, a variable's name stands in its place

const needsKey = () => shownKey() !== '' || refused !== null;

function asCurl() {
  const {gateway: {reasoning}, model, messages} = requestBody();
  const body = {model, messages, ...(reasoning === 'both' && {gateway: {reasoning}})};
  const quote = text => `'${text.replaceAll("'", "'\\''")}'`;
  const key = needsKey() ? '  -H "Authorization: Bearer $GATEWAY_API_KEY" \\\n' : '';
  return `curl -N ${quote(CHAT.href)} \\\n  -H 'Content-Type: application/json' \\\n${key}  -d ${quote(JSON.stringify(body))}\n`;
}

function asPython() {
  const {gateway: {reasoning}, model, messages: [{content}]} = requestBody();
  const literal = JSON.stringify;  // a JSON string is a Python string too
  const key = needsKey() ? 'os.environ["GATEWAY_API_KEY"]' : '"none"';
  const extra = reasoning === 'both' ? '    extra_body={"gateway": {"reasoning": "both"}},\n' : '';
  return `${needsKey() ? 'import os\n\n' : ''}from openai import OpenAI

client = OpenAI(base_url=${literal(new URL('openai/v1', location.href).href)}, api_key=${key})
stream = client.chat.completions.create(
    model=${literal(model)},
    messages=[{"role": "user", "content": ${literal(content)}}],
    stream=True,
${extra})
for chunk in stream:
    for choice in chunk.choices:
        delta = choice.delta
        print(getattr(delta, "reasoning", None) or delta.content or "", end="", flush=True)
`;
}

async function copy(text) {
  // Plain HTTP from another machine is no secure context: there is no clipboard object, only the old command.
  const done = navigator.clipboard
    ? await navigator.clipboard.writeText(text).then(() => true, () => false)
    : copyOldWay(text);
  $('copied').textContent = done ? 'copied' : 'not allowed here';
  setTimeout(() => { $('copied').textContent = ''; }, 2500);
}

function copyOldWay(text) {
  const focused = document.activeElement;
  const area = document.body.appendChild(create('textarea'));
  area.value = text;
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused.focus();
  return done;
}

$('copy-curl').addEventListener('click', () => copy(asCurl()));
$('copy-python').addEventListener('click', () => copy(asPython()));

// What is remembered: the key for this tab, the theme for this browser

const stored = {  // a browser may refuse storage altogether
  get(store, name) { try { return window[store].getItem(name); } catch { return null; } },
  set(store, name, value) { try { window[store].setItem(name, value); } catch { /* then not */ } },
};

$('key').value = stored.get('sessionStorage', 'gateway-key') ?? '';
$('key-box').open = shownKey() !== '';
tellKey();
$('key').addEventListener('input', ({inputType}) => {
  stored.set('sessionStorage', 'gateway-key', shownKey());
  tellKey();
  if (inputType?.startsWith('insertFrom')) loadModels();  // pasted or dropped: it is whole
});
$('key').addEventListener('change', loadModels);
$('key').addEventListener('invalid', () => { $('key-box').open = true; });  // to be told of, it has to be seen

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

setTheme(stored.get('localStorage', 'gateway-theme') ?? '');
$('theme').addEventListener('click', () => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const shown = document.documentElement.dataset.theme || dark;
  setTheme(shown === 'dark' ? 'light' : 'dark');
  stored.set('localStorage', 'gateway-theme', document.documentElement.dataset.theme);
});

every(HEALTH_POLL, pollHealth);
every(MODEL_POLL, loadModels);
