'use strict';
// Elements, and how an answer's Markdown becomes some: the gateway sends nodes, each a string or
// [tag, attributes, children], and elements are made of them by name. No string is ever read as HTML.

const $ = id => document.getElementById(id);
const MATHML = 'http://www.w3.org/1998/Math/MathML';
const TAGS = new Set('p h3 h4 h5 h6 ul ol li blockquote hr br table thead tbody tr th td pre code em strong s a span'.split(' '));
const RENDER_PAUSE = 150;  // milliseconds between two renderings of a growing text
const RENDER_WAIT = 5;  // seconds that are waited where too much is being rendered
const RENDER_PAUSES = 10;  // such waits for one answer, before it is shown as it stands
const RENDER_LIMIT = 100_000;  // characters; a longer text is shown as it stands

function create(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

function make(tag, className, ...children) {
  const element = create(tag, ...children);
  element.className = className;
  return element;
}

function button(text, action) {
  const element = create('button', text);
  element.type = 'button';
  element.addEventListener('click', () => action(element));
  return element;
}

function fromNode(node, inMath = false) {
  if (typeof node === 'string') return new Text(node);
  const [tag, attributes, children] = node;
  const math = inMath || tag === 'math';
  if (!math && !TAGS.has(tag)) return new Text('');
  const element = math ? document.createElementNS(MATHML, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (/^(?:on|style|src|xlink)/i.test(name)) continue;
    if (name === 'href' && !(tag === 'a' && /^(?:https?|mailto):/i.test(value))) continue;
    element.setAttribute(name === 'align' || name === 'lang' ? `data-${name}` : name, value);
  }
  element.append(...children.map(child => fromNode(child, math)));
  if (tag === 'a') Object.assign(element, {target: '_blank', rel: 'noopener noreferrer'});
  if (tag === 'pre') return codeBlock(element, attributes.lang);
  if (tag === 'table') return scrolled('table', 'Table', element);
  if (tag === 'math' && attributes.display === 'block') return scrolled('formula', 'Formula', element);
  return element;
}

/** What may be wider than the column: it scrolls by itself, with the keyboard too. */
function scrolled(className, label, element) {
  const box = make('div', className, element);
  Object.assign(box, {tabIndex: 0, ariaLabel: label, role: 'group'});
  return box;
}

function codeBlock(pre, language) {
  pre.tabIndex = 0;
  const copied = button('Copy', async self => {
    self.textContent = await copyText(pre.textContent) ? 'Copied' : 'Not allowed';
    setTimeout(() => { self.textContent = 'Copy'; }, 2000);
  });
  copied.ariaLabel = 'Copy code';
  return make('div', 'code', make('div', 'code-head quiet', create('span', language ?? 'text'), copied), pre);
}

async function copyText(text) {
  // Plain HTTP from another machine is no secure context: there is no clipboard object, only the old command.
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const focused = document.activeElement;
  const area = (document.querySelector('dialog[open]') ?? document.body).appendChild(create('textarea'));
  area.value = text;
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused.focus();
  return done;
}

async function renderBlocks(text) {
  const response = await fetch('render', {
    method: 'POST',
    headers: {'Content-Type': 'application/json', ...authorization(shownKey())},
    body: JSON.stringify({text}),
    signal: AbortSignal.timeout(15_000),
  });
  if (!response.ok) {
    const wait = Number(response.headers.get('Retry-After'));
    throw new GatewayError('not rendered', {retry_after: wait > 0 && wait <= RENDER_WAIT ? wait : 0});
  }
  return (await response.json()).blocks;
}

/** A growing Markdown text. Finished blocks stay as they are; the last one is drawn anew as it grows. */
class Rendered {
  constructor(box) {
    this.box = box;
    this.live = box.appendChild(make('div', 'live'));
    this.text = '';
    this.settled = 0;  // characters in finished blocks
    this.done = [];  // their nodes, as JSON
    this.drawn = false;
    this.plain = false;  // it could not be rendered
    this.paused = false;  // it will be, a little later
    this.pauses = 0;
    this.running = null;
  }

  append(text) {
    this.text += text.replaceAll('\r', '');
    if (!this.drawn || this.plain || this.paused) this.showPlain();
    if (!this.plain) this.running ??= this.run();
  }

  showPlain() {
    this.live.classList.add('plain');
    following(() => { this.live.textContent = this.text.slice(this.settled); });
  }

  async run() {
    let seen = -1;
    while (seen !== this.text.length && !this.plain) {
      seen = this.text.length;
      const tail = this.text.slice(this.settled);
      try {
        if (tail.length > RENDER_LIMIT) throw new RangeError(tail.length);
        const blocks = await renderBlocks(tail);
        this.paused = false;
        following(() => this.place(tail, blocks));
      } catch (error) {
        if (error.facts?.retry_after && this.pauses++ < RENDER_PAUSES) {
          this.paused = true;
          seen = -1;
          this.showPlain();
          await new Promise(resolve => setTimeout(resolve, error.facts.retry_after * 1000));
          continue;
        }
        this.plain = true;
        this.running = null;
        this.showPlain();
        return;
      }
      await new Promise(resolve => setTimeout(resolve, RENDER_PAUSE));
    }
    this.running = null;
    if (seen !== this.text.length) this.running = this.run();
  }

  place(tail, blocks) {
    if (!blocks.length) return;
    this.drawn = true;
    const last = blocks.pop();
    for (const {nodes} of blocks) {
      this.done.push(JSON.stringify(nodes));
      this.live.before(...nodes.map(node => fromNode(node)));
    }
    for (let line = 0; line < last.line; line++) {
      const length = tail.indexOf('\n') + 1;
      this.settled += length;
      tail = tail.slice(length);
    }
    this.live.classList.remove('plain');
    this.live.replaceChildren(...last.nodes.map(node => fromNode(node)));
    this.last = JSON.stringify(last.nodes);
  }

  /** The text is whole: wait until all is drawn, and draw once more what looked otherwise in parts. */
  async finish() {
    await this.running;
    if (!this.text || this.text.length > RENDER_LIMIT) return;
    if (this.done.length === 0 && !this.plain) return;
    const blocks = await renderBlocks(this.text).catch(() => null);
    if (!blocks) return;
    const now = blocks.map(({nodes}) => JSON.stringify(nodes)).join();
    if (!this.plain && now === [...this.done, this.last].join()) return;
    this.plain = false;
    this.box.replaceChildren(...blocks.flatMap(({nodes}) => nodes.map(node => fromNode(node))), this.live);
    this.live.replaceChildren();
  }
}

/** Keep the end of the page in view while it grows, if it was in view before. */
function following(change) {
  const page = document.scrollingElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 48;
  change();
  if (atEnd) page.scrollTop = page.scrollHeight;
}
