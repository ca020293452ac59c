'use strict';
// The page: its form, its settings and keys, what is copied from it, what it remembers.

const OPTIONS = 'gateway-options';
const FIELDS = ['model', 'second', 'system', 'temperature', 'max-tokens', 'effort', 'detail', 'prompt-summary', 'raw'];

function requestBody(model, messages) {
  const number = id => $(id).value === '' || !$(id).validity.valid ? undefined : Number($(id).value);
  return {  // what is undefined is not sent
    model,
    messages,
    stream: true,
    stream_options: {include_usage: true},
    temperature: number('temperature'),
    max_tokens: number('max-tokens'),
    reasoning_effort: $('effort').value || undefined,
    gateway: {
      format: 'phases',
      reasoning: $('raw').checked ? 'both' : 'summary',
      detail: $('detail').value === 'auto' ? undefined : $('detail').value,
      prompt_summary: $('prompt-summary').checked ? undefined : false,
    },
  };
}

$('request').addEventListener('submit', event => {
  event.preventDefault();
  const prompt = $('prompt').value;
  if (running.length || !prompt.trim()) return;
  $('prompt').value = '';
  send(prompt, edited);
});

$('stop').addEventListener('click', stop);
$('new').addEventListener('click', newChat);
$('cancel-edit').addEventListener('click', () => {
  endEdit();
  $('prompt').value = '';
  $('prompt').focus();
});

$('prompt').addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.altKey || event.isComposing) return;
  event.preventDefault();
  $('request').requestSubmit();
});

document.addEventListener('keydown', event => {
  if (event.isComposing || event.key !== 'Escape' || $('drawer').open) return;
  if (running.length) stop();
  else if (edited) $('cancel-edit').click();
});

$('examples').addEventListener('click', event => {
  if (event.target.type !== 'button') return;
  $('prompt').value = event.target.textContent;
  $('prompt').focus();
});

// The drawer

$('settings').addEventListener('click', () => $('drawer').showModal());
$('close').addEventListener('click', () => $('drawer').close());
$('drawer').addEventListener('click', event => { if (event.target === $('drawer')) $('drawer').close(); });
$('options').addEventListener('submit', event => event.preventDefault());
$('options').addEventListener('change', saveOptions);
$('model').addEventListener('change', saveOptions);
for (const id of ['model', 'second']) $(id).addEventListener('change', showAdvice);
$('export').addEventListener('click', exportChat);
$('import').addEventListener('click', () => $('file').click());
$('file').addEventListener('change', () => {
  const [file] = $('file').files;
  $('file').value = '';
  if (file && !running.length) importChat(file);
});
$('show-key').addEventListener('click', () => {
  $('drawer').close();
  $('key-box').hidden = false;
  $('key').focus();
});

function saveOptions() {
  const values = FIELDS.map(id => [id, $(id).type === 'checkbox' ? $(id).checked : $(id).value]);
  for (const id of ['model', 'second']) delete $(id).dataset.wanted;
  values.push(['transport', $('options').elements.transport.value]);
  stored.set('localStorage', OPTIONS, JSON.stringify(Object.fromEntries(values)));
}

function restoreOptions() {
  let values = {};
  try {
    values = JSON.parse(stored.get('localStorage', OPTIONS) ?? '{}');
  } catch {
    return;  // of another version of this page
  }
  for (const [id, value] of Object.entries(values)) {
    if (id === 'transport') $('options').elements.transport.value = value;
    else if (!FIELDS.includes(id)) continue;
    else if (['model', 'second'].includes(id)) $(id).dataset.wanted = value;  // its list is yet to come
    else if ($(id).type === 'checkbox') $(id).checked = value;
    else $(id).value = value;
  }
}

// Copy as: the key is never copied, a variable's name stands in its place

const needsKey = () => shownKey() !== '' || refused !== null;

/** The request that would be sent, or else the last one that was. */
function copiedBody() {
  const {stream, stream_options: _, gateway: {format, ...gateway}, ...body} =
    requestBody($('model').value, messagesFor(0, $('prompt').value));
  const chosen = Object.fromEntries(Object.entries(gateway).filter(([name, value]) => value !== undefined
    && !(name === 'reasoning' && value === 'summary')));
  return {...body, gateway: Object.keys(chosen).length ? chosen : undefined};
}

function asCurl() {
  const quote = text => `'${text.replaceAll("'", "'\\''")}'`;
  const key = needsKey() ? '  -H "Authorization: Bearer $GATEWAY_API_KEY" \\\n' : '';
  return `curl -N ${quote(CHAT.href)} \\\n  -H 'Content-Type: application/json' \\\n${key}  -d ${quote(JSON.stringify(copiedBody()))}\n`;
}

function asPython() {
  // JSON of strings, numbers, lists and objects is Python too; only its three words are not.
  const literal = value => value === false ? 'False' : value === true ? 'True'
    : Array.isArray(value) ? `[${value.map(literal).join(', ')}]`
    : typeof value === 'object' ? `{${Object.entries(value).map(([name, each]) => `"${name}": ${literal(each)}`).join(', ')}}`
    : JSON.stringify(value);
  const {gateway, ...body} = copiedBody();
  const key = needsKey() ? 'os.environ["GATEWAY_API_KEY"]' : '"none"';
  const fields = Object.entries(body).filter(([, value]) => value !== undefined);
  if (gateway) fields.push(['extra_body', {gateway}]);
  return `${needsKey() ? 'import os\n\n' : ''}from openai import OpenAI

client = OpenAI(base_url=${literal(new URL('openai/v1', location.href).href)}, api_key=${key})
stream = client.chat.completions.create(
${fields.map(([name, value]) => `    ${name}=${literal(value)},\n`).join('')}    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        delta = choice.delta
        print(getattr(delta, "reasoning", None) or delta.content or "", end="", flush=True)
`;
}

async function copy(text) {
  $('copied').textContent = await copyText(text) ? 'copied' : 'not allowed here';
  setTimeout(() => { $('copied').textContent = ''; }, 2500);
}

$('copy-curl').addEventListener('click', () => copy(asCurl()));
$('copy-python').addEventListener('click', () => copy(asPython()));

// What is remembered: the key for this tab, all else for this browser

$('key').value = stored.get('sessionStorage', 'gateway-key') ?? '';
$('key-box').hidden = shownKey() === '';
tellKey();
$('key').addEventListener('input', ({inputType}) => {
  stored.set('sessionStorage', 'gateway-key', shownKey());
  tellKey();
  if (inputType?.startsWith('insertFrom')) loadModels();  // pasted or dropped: it is whole
});
$('key').addEventListener('change', loadModels);
$('key').addEventListener('invalid', () => { $('key-box').hidden = false; });  // to be told of, it has to be seen
$('key').addEventListener('keydown', event => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  const last = turns.at(-1);
  if (!$('prompt').value && last?.answers.some(({state}) => state === 'error')) send(last.prompt, last);
  else $('prompt').value.trim() ? $('request').requestSubmit() : $('prompt').focus();
});

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

restoreOptions();
restoreChat();
addEventListener('pagehide', () => { if (turns.length) keep(); });
every(HEALTH_POLL, pollHealth);
every(MODEL_POLL, loadModels);
pollHealth();
