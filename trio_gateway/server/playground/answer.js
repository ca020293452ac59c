'use strict';
// One answer: what is shown of it while it comes, and what is kept of it. Where it stands:
//   waiting (sent) -> thinking (the model has said something) -> answering -> done
//   and from any of the first three: stopped, error

const PREFIX = /^\[(?:Prompt|Reasoning) Summary\] /;
const ENDINGS = {length: 'Cut at the token limit', content_filter: 'Cut by a content filter'};
const RUNNING = ['waiting', 'thinking', 'answering'];

class Answer {
  /** *kept*: an answer as it was kept, or null for one that is yet to come. */
  constructor(model, kept = null) {
    this.model = model;
    this.kept = {model, content: '', raw: '', summary: '', lines: [], state: 'waiting', ...kept};
    this.build();
    if (kept) this.restore();
  }

  build() {
    this.element = make('section', 'answer');
    this.element.ariaLabel = `Answer of ${this.model}`;
    this.head = create('span', 'Waiting for the model');
    this.head.className = 'thought-head';
    this.asked = make('p', 'understood quiet');
    this.lines = make('ol', 'lines');
    Object.assign(this.lines, {tabIndex: 0, ariaLabel: 'Reasoning summary'});
    this.rawText = make('div', 'raw');
    Object.assign(this.rawText, {tabIndex: 0, ariaLabel: 'Raw reasoning', role: 'region'});
    this.rawBox = make('details', 'raw-box', create('summary', 'Raw reasoning'), this.rawText);
    this.rawBox.hidden = true;
    const summary = create('summary', this.head);
    summary.addEventListener('click', () => { this.toggled = true; });
    this.thought = make('details', 'thought', summary, this.asked, this.lines, this.rawBox);
    this.output = make('div', 'output');
    this.error = make('section', 'error');
    this.error.role = 'alert';
    this.error.hidden = true;
    this.footer = make('footer', 'quiet');
    this.element.append(make('p', 'who quiet', this.model), this.thought, this.output, this.error, this.footer);
    this.rendered = new Rendered(this.output);
    this.rawNode = this.rawText.appendChild(new Text());
  }

  restore() {
    const {kept} = this;
    this.asked.textContent = kept.summary;
    for (const [time, line] of kept.lines) this.showLine(time, line);
    this.addRaw(kept.raw, false);
    if (kept.content) this.rendered.append(kept.content);
    this.rendered.finish();
    if (kept.error) this.showFailure(kept.error);
    if (RUNNING.includes(kept.state)) kept.state = 'stopped';
    this.enter(kept.state);
    this.conclude();
  }

  enter(state) {
    this.state = this.kept.state = state;
    this.element.dataset.state = state;
    this.element.ariaBusy = String(RUNNING.includes(state));
    this.tick();
  }

  get elapsed() {
    return (performance.now() - this.started) / 1000;
  }

  tick() {
    const {thought, lines, raw} = this.kept;
    const words = {
      waiting: 'Waiting for the model',
      thinking: `Thinking ${Math.floor(this.elapsed - this.thinking)} s`,
    };
    const silent = !lines.length && !raw;
    const text = words[this.state] ?? (silent ? 'Answered without showing its thoughts' : `Thought for ${duration(thought)}`);
    if (this.head.textContent !== text) this.head.textContent = text;
    this.thought.dataset.empty = String(silent && !RUNNING.includes(this.state));
  }

  async go(body, transport) {
    this.abort = new AbortController();
    this.started = performance.now();
    this.key = shownKey();
    this.thought.open = true;
    this.enter('waiting');
    const ticker = setInterval(() => this.tick(), 200);
    try {
      await transport(body, this.key, this.abort.signal, (event, data) => this.take(event, data));
    } catch (error) {
      if (!this.abort.signal.aborted) this.failure ??= failureOf(error);
    }
    clearInterval(ticker);
    this.end();
    await this.rendered.finish();
  }

  take(event, data) {
    if (event === 'error') this.failure = new GatewayError(data.error.message, data.error);
    else if (event === 'message') this.chunk(data);
    else if (data.phase === 'reasoning_summary') this.think();
  }

  /** The model has spoken for the first time. */
  think() {
    if (this.state !== 'waiting') return;
    this.thinking = this.kept.first = this.elapsed;
    this.enter('thinking');
    announce(this, 'Thinking');
  }

  /** The answer begins: the thoughts fold, unless somebody has folded or unfolded them. */
  answer() {
    if (this.state === 'answering') return;
    this.kept.first ??= this.elapsed;
    this.kept.thought = this.thinking === undefined ? 0 : this.elapsed - this.thinking;
    if (!this.toggled) following(() => { this.thought.open = false; });
    this.enter('answering');
    announce(this, 'Answering');
  }

  chunk({choices: [choice] = [], phase, usage}) {
    this.kept.usage = usage ?? this.kept.usage;
    if (!choice) return;
    this.kept.finish = choice.finish_reason ?? this.kept.finish;
    const {content, refusal, reasoning_content: raw} = choice.delta;
    if (raw) {
      this.think();
      this.addRaw(raw);
    }
    const text = content ?? refusal;
    if (!text) return;
    if (phase === 'final_output') {
      this.answer();
      this.kept.content += text;
      this.rendered.append(text);
    } else {
      for (const line of text.replace(PREFIX, '').split('\n').filter(Boolean)) this.say(phase, line);
    }
  }

  say(phase, line) {
    if (phase === 'prompt_summary') {
      this.kept.summary += line;
      this.asked.textContent = this.kept.summary;
    } else {
      this.kept.lines.push([this.elapsed, line]);
      following(() => this.showLine(this.elapsed, line));
      $('news').textContent = line;
    }
  }

  showLine(time, line) {
    const atEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 40;
    this.lines.append(create('li', create('time', duration(time)), create('span', line)));
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }

  addRaw(text, keep = true) {
    if (!text) return;
    if (keep) this.kept.raw += text;
    this.rawBox.hidden = false;
    this.rawNode.appendData(text);
  }

  end() {
    const stopped = this.abort.signal.aborted;
    const {kept, failure} = this;
    if (this.thinking !== undefined) kept.thought ??= this.elapsed - this.thinking;
    kept.took = this.elapsed;
    if (failure) {
      kept.error = {message: failure.message, facts: failure.facts};
      this.showFailure(kept.error);
      if (failure.facts.status === 401) askForKey(this.key);
    }
    this.enter(failure ? 'error' : stopped ? 'stopped' : 'done');
    if (!this.toggled) this.thought.open = false;
    this.conclude();
  }

  conclude() {
    const {first, thought, usage, took, finish, content} = this.kept;
    const tokens = usage?.completion_tokens;
    const thinking = usage?.completion_tokens_details?.reasoning_tokens;
    const facts = [
      this.state === 'stopped' && 'Stopped',
      this.state === 'done' && ENDINGS[finish],
      first !== undefined && `first token ${duration(first)}`,
      thought > 0 && `thought ${duration(thought)}`,
      tokens && `${tokens} tokens${thinking ? ` (${thinking} thinking)` : ''}`,
      tokens && took > first && `${Math.round(tokens / (took - first))} tokens/s`,
    ];
    const copied = button('Copy', async self => {
      self.textContent = await copyText(content) ? 'Copied' : 'Not allowed';
      setTimeout(() => { self.textContent = 'Copy'; }, 2000);
    });
    copied.ariaLabel = 'Copy answer';
    const line = make('span', 'facts', ...facts.filter(Boolean).map(each => create('span', each)));
    this.footer.replaceChildren(line, ...content ? [copied] : []);
    if (this.state === 'done' && !content && !this.kept.error) this.output.append(make('p', 'quiet none', 'The model said nothing.'));
  }

  showFailure({message, facts}) {
    const told = {
      code: facts.code,
      phase: facts.phase?.replace('_', ' '),
      status: facts.status,
      parameter: facts.param,
      'retry after': facts.retry_after > 0 && `${Math.ceil(facts.retry_after)} s`,
      request: facts.request_id,
    };
    const rows = Object.entries(told).filter(([, value]) => value);
    const list = create('dl', ...rows.map(([name, value]) => create('div', create('dt', name), create('dd', String(value)))));
    this.error.replaceChildren(create('h3', 'The request failed'), create('p', message), list);
    this.error.hidden = false;
  }
}

function duration(value = 0) {
  return value < 0.1 ? `${Math.round(value * 1000)} ms` : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

function failureOf(error) {
  if (error instanceof GatewayError) return error;
  if (error instanceof TypeError) return new GatewayError('The connection to the gateway was lost.');
  return new GatewayError(`This browser could not do it: ${error.message}`);
}
