'use strict';
// A run is one request and what the panels show of its answer. Where it stands:
//   waiting (sent) -> thinking (the prompt summary has come) -> answering -> done
//   and from any of the first three: stopped, error
// Before the first run the page is idle, or locked where the gateway has asked for a key.
// All text goes in as text nodes, so nothing a model writes can become markup.

const $ = id => document.getElementById(id);
const PHASES = ['prompt_summary', 'reasoning_summary', 'final_output'];
const PREFIX = /^\[(?:Prompt|Reasoning) Summary\] /;
const ENDINGS = {length: 'Cut at the token limit', content_filter: 'Cut by a content filter'};

/** Text that grows, written at most once a frame. */
class GrowingText {
  constructor(element) {
    this.element = element;
    this.node = element.appendChild(new Text());
    this.pending = '';
  }

  append(text) {
    if (!this.pending) requestAnimationFrame(() => this.flush());
    this.pending += text;
  }

  flush() {
    following(this.element, () => this.node.appendData(this.pending));
    this.pending = '';
  }
}

/** Keep the end of a growing element in view, in its own box and in the window, if it was in view before. */
function following(box, change) {
  const hidden = () => Math.max(0, box.getBoundingClientRect().bottom + 24 - innerHeight);
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const before = hidden();
  change();
  if (atEnd) box.scrollTop = box.scrollHeight;
  if (before < 40) scrollBy(0, hidden());
}

/** One request, and what the panels show of its answer. */
class Run {
  constructor() {
    this.abort = new AbortController();
    this.started = performance.now();
    this.failure = null;
    this.finish = null;
    this.usage = null;
    for (const phase of PHASES) {
      part(phase, '.text').replaceChildren();
      step(phase, 'waiting', '');
    }
    part('reasoning_summary', '.raw').replaceChildren();
    $('raw-box').hidden = $('error').hidden = true;
    this.output = new GrowingText(part('final_output', '.text'));
    this.raw = new GrowingText(part('reasoning_summary', '.raw'));
    this.enter('waiting', 'Waiting');
    step('prompt_summary', 'active');
    this.ticker = setInterval(() => this.tick(), 100);
    this.tick();
  }

  get elapsed() {
    return (performance.now() - this.started) / 1000;
  }

  enter(state, text) {
    this.state = state;
    enter(state, text);
    const runs = ['waiting', 'thinking', 'answering'].includes(state);
    if (!runs && document.activeElement === $('stop')) $('send').focus({preventScroll: true});
    $('stop').hidden = !runs;
    $('send').setAttribute('aria-disabled', String(runs));
    part('final_output', '.text').setAttribute('aria-busy', String(runs));
  }

  tick() {
    $('clock').textContent = [tokens(this.usage), seconds(this.elapsed)].filter(Boolean).join(' · ');
    if (this.state === 'thinking') part('reasoning_summary', '.time').textContent = seconds(this.elapsed);
    if (this.state === 'answering') {
      part('final_output', '.time').textContent = seconds(this.elapsed - this.answering);
    }
  }

  async go(body, transport) {
    this.key = shownKey();
    try {
      await transport(body, this.key, this.abort.signal, (event, data) => this.take(event, data));
    } catch (error) {
      if (!this.abort.signal.aborted) this.failure ??= failureOf(error);
    }
    this.end();
  }

  take(event, data) {
    if (event === 'error') this.failure = new GatewayError(data.error.message, data.error);
    else if (event === 'phase') this.open(data.phase);
    else this.chunk(data);
  }

  open(phase) {
    if (phase === 'final_output') {
      this.think();
      const silent = !part('reasoning_summary', '.text').childElementCount && $('raw-box').hidden;
      step('reasoning_summary', silent ? 'empty' : 'done', silent ? '' : seconds(this.elapsed));
      step('final_output', 'active');
      $('final_output').scrollIntoView({block: 'nearest'});
      this.answering = this.elapsed;
      this.enter('answering', 'Answering');
    } else if (phase === 'reasoning_summary') {
      this.think();
    }
  }

  /** The prompt summary is whole, or there is none: what is awaited now is the model. */
  think() {
    if (this.state !== 'waiting') return;
    const asked = part('prompt_summary', '.text').hasChildNodes();
    step('prompt_summary', asked ? 'done' : 'empty', asked ? seconds(this.elapsed) : '');
    step('reasoning_summary', 'active');
    this.enter('thinking', 'Thinking');
  }

  chunk({choices: [choice] = [], phase, usage}) {
    this.usage = usage ?? this.usage;
    if (!choice) return;
    this.finish = choice.finish_reason ?? this.finish;
    const {content, refusal, reasoning_content: raw} = choice.delta;
    if (raw) {
      $('raw-box').hidden = false;
      this.raw.append(raw);
    }
    const text = content ?? refusal;
    if (!text) return;
    if (phase === 'final_output') this.output.append(text);
    else for (const line of text.replace(PREFIX, '').split('\n').filter(Boolean)) this.say(phase, line);
  }

  say(phase, line) {
    const panel = part(phase, '.text');
    if (phase === 'prompt_summary') {
      panel.append(line);
      this.think();
    } else {
      const time = create('time', seconds(this.elapsed));
      following(panel, () => panel.append(create('li', time, line)));
    }
  }

  end() {
    clearInterval(this.ticker);
    this.output.flush();
    this.raw.flush();
    this.tick();
    const {failure} = this;
    const stopped = this.abort.signal.aborted;
    for (const phase of PHASES) {
      if ($(phase).dataset.step === 'active') step(phase, failure ? 'failed' : stopped ? 'stopped' : 'done');
    }
    if (failure) {
      showFailure(failure);
      this.enter('error', 'Failed');
      if (failure.facts.status === 401) askForKey(this.key);
    } else if (stopped) {
      this.enter('stopped', 'Stopped');
    } else {
      if ($('final_output').dataset.step === 'waiting') step('final_output', 'empty');
      this.enter('done', ENDINGS[this.finish] ?? 'Done');
    }
  }
}

function enter(state, text) {
  document.body.dataset.state = state;
  $('status').textContent = text;
}

function part(phase, selector) {
  return $(phase).querySelector(selector);
}

function step(phase, name, time) {
  $(phase).dataset.step = name;
  if (time !== undefined) part(phase, '.time').textContent = time;
}

function create(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

function seconds(value) {
  return `${value.toFixed(value < 0.095 ? 2 : 1)} s`;
}

function tokens(usage) {
  if (!usage) return '';
  const thought = usage.completion_tokens_details?.reasoning_tokens;
  return `${usage.completion_tokens} tokens${thought ? `, ${thought} reasoning` : ''}`;
}

function failureOf(error) {
  if (error instanceof GatewayError) return error;
  if (error instanceof TypeError) return new GatewayError('The connection to the gateway was lost.');
  return new GatewayError(`This browser could not do it: ${error.message}`);
}

function showFailure({message, facts}) {
  const told = {
    code: facts.code,
    phase: facts.phase?.replace('_', ' '),
    status: facts.status,
    parameter: facts.param,
    'retry after': facts.retry_after > 0 && `${Math.ceil(facts.retry_after)} s`,
    request: facts.request_id,
  };
  const rows = Object.entries(told).filter(([, value]) => value);
  $('error-message').textContent = message;
  $('error-facts').replaceChildren(
    ...rows.map(([name, value]) => create('div', create('dt', name), create('dd', String(value)))),
  );
  $('error').hidden = false;
  $('error').scrollIntoView({block: 'nearest'});
}
