'use strict';
// The conversation: its turns, what is sent of it, and how it is kept, exported and imported.
// A turn is a message and its answers: one, or one each of two models side by side.

const KEPT = 'gateway-chat';
const KEPT_RAW = 20_000;  // characters of raw reasoning that are kept over a reload

const turns = [];
let running = [];  // the answers that are on their way
let edited = null;  // the turn whose message is in the composer

const stored = {  // a browser may refuse storage altogether, or be full
  get(store, name) { try { return window[store].getItem(name); } catch { return null; } },
  set(store, name, value) { try { window[store].setItem(name, value); } catch { /* then not */ } },
};

function addTurn(prompt, answers) {
  const turn = {prompt, answers};
  const edit = button('Edit', () => beginEdit(turn));
  const retry = button('Retry', () => { if (!running.length) send(turn.prompt, turn); });
  const tools = make('p', 'tools quiet', edit, retry);
  const asked = make('div', 'asked', make('p', 'message', prompt));
  asked.ariaLabel = 'Your message';
  asked.role = 'group';
  turn.element = make('article', 'turn', asked, make('div', 'answers', ...answers.map(({element}) => element)), tools);
  turn.element.dataset.columns = answers.length;
  $('turns').append(turn.element);
  turns.push(turn);
  $('empty').hidden = true;
  document.body.toggleAttribute('data-wide', turns.some(each => each.answers.length > 1));
  return turn;
}

/** Take that turn and all behind it away. */
function cutFrom(turn) {
  for (const each of turns.splice(turns.indexOf(turn))) each.element.remove();
}

function beginEdit(turn) {
  if (running.length) return;
  edited = turn;
  $('editing').hidden = false;
  $('prompt').value = turn.prompt;
  $('prompt').focus();
}

function endEdit() {
  edited = null;
  $('editing').hidden = true;
}

/** What is sent as the conversation so far in that column, and the new message. */
function messagesFor(column, prompt) {
  const system = $('system').value.trim();
  const said = turns.flatMap(({prompt: content, answers}) => [
    {role: 'user', content},
    {role: 'assistant', content: (answers[column] ?? answers[0])?.kept.content ?? ''},
  ]).filter(({role, content}) => role === 'user' || content);
  return [...system ? [{role: 'system', content: system}] : [], ...said, ...prompt ? [{role: 'user', content: prompt}] : []];
}

/** Send a message; *instead*: the turn that it takes the place of, with all behind it. */
async function send(prompt, instead = null) {
  if (instead) cutFrom(instead);
  endEdit();
  const models = [$('model').value, $('second').value].filter(Boolean);
  const bodies = models.map((model, column) => requestBody(model, messagesFor(column, prompt)));
  running = models.map(model => new Answer(model));
  const turn = addTurn(prompt, running);
  for (const each of turns) each.element.classList.toggle('last', each === turn);
  turn.element.scrollIntoView({block: 'start'});
  showState('waiting', 'Waiting for the model');
  const transport = $('options').elements.transport.value === 'sse' ? overSSE : overWebSocket;
  await Promise.all(running.map((answer, column) => answer.go(bodies[column], transport)));
  const states = running.map(({state}) => state);
  const finish = running[0].kept.finish;
  running = [];
  keep();
  const state = ['error', 'stopped'].find(each => states.includes(each)) ?? 'done';
  const words = {error: 'Failed', stopped: 'Stopped', done: ENDINGS[finish] ?? 'Done'};
  showState(state, words[state]);
  if (state === 'done') $('news').textContent = turn.answers.map(({kept}) => kept.content.slice(0, 2000)).join('\n');
  pollHealth();
  if (state === 'done') {
    refused = null;  // the key is asked for no more, or is a good one by now
    loadModels();
  }
}

function stop() {
  for (const answer of running) answer.abort.abort();
}

function announce(answer, words) {
  if (answer === running[0]) showState(answer.state, words);
}

function showState(state, words) {
  document.body.dataset.state = state;
  $('status').textContent = words;
  const runs = RUNNING.includes(state);
  const focused = document.activeElement;
  $('stop').hidden = !runs;
  $('send').hidden = runs;
  if (runs && focused === $('send')) $('stop').focus({preventScroll: true});
  if (!runs && focused === $('stop')) $('prompt').focus({preventScroll: true});
}

function newChat() {
  if (running.length) return stop();
  if (turns.length) cutFrom(turns[0]);
  endEdit();
  keep();
  document.body.removeAttribute('data-wide');
  $('empty').hidden = false;
  $('prompt').focus();
  if (refused === null) showState('idle', 'Ready');
}

function keep() {
  const saved = turns.map(({prompt, answers}) => ({
    prompt,
    answers: answers.map(({kept}) => ({...kept, raw: kept.raw.slice(0, KEPT_RAW)})),
  }));
  if (saved.length) stored.set('localStorage', KEPT, JSON.stringify(saved));
  else try { localStorage.removeItem(KEPT); } catch { /* there is none */ }
}

function restoreChat() {
  try {
    for (const {prompt, answers} of JSON.parse(stored.get('localStorage', KEPT) ?? '[]')) {
      addTurn(prompt, answers.map(kept => new Answer(kept.model, kept)));
    }
  } catch {
    newChat();  // of another version of this page
  }
  scrollTo(0, document.scrollingElement.scrollHeight);
}

// Export and import: a request body of the API, which any client could send

function exportChat() {
  const {model, messages, ...rest} = requestBody($('model').value, messagesFor(0, ''));
  const blob = new Blob([`${JSON.stringify({model, messages, ...rest}, null, 2)}\n`], {type: 'application/json'});
  const link = create('a');
  link.href = URL.createObjectURL(blob);
  link.download = 'conversation.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const textOf = content => typeof content === 'string' ? content
  : Array.isArray(content) ? content.map(part => part?.text ?? '').join('') : '';

async function importChat(file) {
  let body;
  try {
    body = JSON.parse(await file.text());
    if (!Array.isArray(body.messages)) throw new TypeError();
  } catch {
    $('copied').textContent = 'This file is no JSON with a list “messages”.';
    return;
  }
  newChat();
  const systems = [];
  for (const {role, content} of body.messages) {
    const text = textOf(content);
    if (role === 'system' || role === 'developer') systems.push(text);
    else if (role === 'user') addTurn(text, []);
    else if (role === 'assistant' && turns.length) {
      const {prompt} = turns.at(-1);
      cutFrom(turns.at(-1));
      addTurn(prompt, [new Answer(String(body.model ?? 'default'), {content: text, state: 'done'})]);
    }
  }
  $('system').value = systems.join('\n');
  keep();
  saveOptions();
  $('drawer').close();
}
