// Keys, decisions and their way to the disk. A decision has a token: sent twice, it is made once.

const RETRY = { first: 500, most: 8000, patience: 20000 };  // milliseconds
// Until then nobody has seen the next question: a key that is pressed twice does not answer it.
const GLANCE = 250;  // milliseconds
const said = document.getElementById('said');
const problem = document.getElementById('problem');
let isBusy = false;

// What buttons do with the marked picture; frame.js adds what they do with boxes.
export const acts = {
  split(item) {
    const { unit, view, first } = item.dataset;
    if (view === first) return complain('There is no picture of this tracklet before the marked one: mark another to split before it.');
    decide('split', { unit: Number(unit), view: Number(view) });
  },
  not_person(item) { decide('not_person', { unit: Number(item.dataset.unit) }); },
  detach(item) {
    const unit = Number(item.dataset.unit);
    const units = JSON.parse(document.querySelector('[data-units]').dataset.units);
    decide('detach', { unit, rest: units.filter((other) => other !== unit) });
  },
  frame(item) { location.assign(`/frames/${item.dataset.frame}?unit=${item.dataset.unit}`); },
  person(item) {
    if (!item.dataset.unit) return complain('Nobody knows who that is.');
    location.assign(`/person?unit=${item.dataset.unit}`);
  },
};

const main = () => document.querySelector('main');
export const items = () => [...main().querySelectorAll('[data-item]')];
export const marked = () => items().find((item) => item.matches('[data-marked]'));

// For screen readers too; "more" is for them alone.
export function tell(text, more = '') {
  const unseen = document.createElement('span');
  unseen.className = 'ps-unseen';
  unseen.textContent = ` ${more}`;
  said.replaceChildren(text, unseen);
}

export function complain(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

// Ask until the server answers, which may be down or restarted meanwhile.
async function ask(address, options, waiting) {
  for (let pause = RETRY.first; ; pause = Math.min(2 * pause, RETRY.most)) {
    try {
      const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(RETRY.patience) });
      if (answer.status < 502) return { answer, text: await answer.text() };
    } catch { /* no answer */ }
    complain(`${waiting}: the server does not answer. Trying again, please wait.`);
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

export async function decide(kind, payload) {
  if (isBusy) return;
  const random = crypto.getRandomValues(new Uint8Array(16));
  const token = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const { project, shown } = main().dataset;
  const units = [payload.a, payload.b, payload.unit];
  const views = JSON.parse(shown).filter(([unit]) => units.includes(unit));
  await send(JSON.stringify({ token, kind, payload, project, shown: views }));
}

async function send(body) {
  setBusy(true);
  complain('');
  tell('Saving…');
  remember(body);  // sent again if the page is loaded again
  const headers = { 'Content-Type': 'application/json' };
  const { answer, text } = await ask('/decide', { method: 'POST', headers, body }, 'Not saved yet');
  remember('');
  const found = readJson(text);
  const refused = answer.ok ? '' : found.error ?? `The server says ${answer.status}: ${text.slice(0, 200)}`;
  const shown = await ask(location.href, {}, `${refused || 'Saved'}. The page can't be shown`);
  complain(refused);
  if (!show(shown.text, shown.answer.url)) complain(`${refused || 'Saved'}. The server says ${shown.answer.status} to this page: reload it.`);
  const next = document.getElementById('next')?.textContent ?? '';
  if (refused) tell('');
  else tell(`Saved: ${found.said}.`, `${next} ${document.querySelector('.lb-progress p').textContent}`);
  if (location.pathname === '/') await new Promise((resume) => setTimeout(resume, GLANCE));
  setBusy(false);
}

// Browsers that keep nothing of pages refuse this one's storage: closing it then warns all the same.
function remember(body) {
  try { sessionStorage.setItem('waiting', body); } catch { /* not kept */ }
}
function remembered() {
  try { return sessionStorage.getItem('waiting'); } catch { return ''; }
}

function readJson(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

function setBusy(value) {
  isBusy = value;
  document.body.classList.toggle('lb-busy', value);
  for (const button of document.querySelectorAll('button[data-key]')) {
    button.setAttribute('aria-disabled', value);
  }
}

// Replace the page's main part, if there is one; pictures that stay are not loaded again.
function show(html, address) {
  const page = new DOMParser().parseFromString(html, 'text/html');
  const [before, after] = [main(), page.querySelector('main')];
  if (!after) return false;
  // another project is served at this address now: nothing of this page is of it
  if (after.dataset.project !== before.dataset.project) for (const img of before.querySelectorAll('img')) img.remove();
  const isSame = items()[0]?.dataset.item === after.querySelector('[data-item]')?.dataset.item;
  const wanted = isSame || location.pathname !== '/' ? marked()?.dataset.item : undefined;
  const loaded = new Map([...before.querySelectorAll('img')].map((img) => [img.getAttribute('src'), img]));
  for (const img of after.querySelectorAll('img')) {
    const old = loaded.get(img.getAttribute('src'));
    if (old && loaded.delete(img.getAttribute('src'))) img.replaceWith(old);
  }
  before.replaceWith(document.adoptNode(after));
  document.title = page.title;
  if (address !== location.href) history.replaceState(null, '', address);
  document.dispatchEvent(new Event('shown'));
  focus((item) => item.dataset.item === wanted);
  return true;
}

// marking

// One item is marked. Tab leads to it alone, or to all boxes: arrow keys move these.
function mark(marked) {
  for (const item of items()) {
    item.toggleAttribute('data-marked', item === marked);
    item.tabIndex = item === marked || item.matches('.lb-box') ? 0 : -1;
  }
}

// Mark and focus the first item that is wanted, or the first one.
function focus(isWanted) {
  const item = items().find(isWanted) ?? items()[0];
  mark(item);
  item?.focus();
}

document.addEventListener('focusin', ({ target }) => {
  if (target.matches?.('main [data-item]')) mark(target);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The nearest item to one side; left and right go on in the next row.
function neighbor(item, [dx, dy]) {
  const all = items();
  if (dx) return all[all.indexOf(item) + dx];
  const center = (one) => { const r = one.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
  const [x, y] = center(item);
  const distance = (one) => { const [a, b] = center(one); return Math.abs(b - y) * 1000 + Math.abs(a - x); };
  const beyond = all.filter((one) => dy * (center(one)[1] - y) > 8);
  return beyond.sort((a, b) => distance(a) - distance(b))[0];
}

// keys and clicks

const controlOf = (name) => [...document.querySelectorAll('[data-key]')].find((one) => one.dataset.key === name);

// What a key has on a Latin keyboard, where it has a letter of another script, or is being composed.
function latin({ key, code }) {
  const isOther = key === 'Process' || (key.length === 1 && key > '\u007f');
  return isOther && /^Key[A-Z]$/.test(code) ? code.at(-1).toLowerCase() : undefined;
}

document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || target.matches('input, select, textarea')) return;
  if (ARROWS[key] && !event.defaultPrevented && marked()) {
    const next = document.activeElement === marked() ? neighbor(marked(), ARROWS[key]) : marked();
    next?.focus();
    if (next) event.preventDefault();
    return;
  }
  // Enter is a link's or a button's own key
  if (key === 'Enter' && target.matches('a, button:not(.lb-box)')) return;
  const control = controlOf(key.length === 1 ? key.toLowerCase() : key) ?? controlOf(latin(event));
  if (control) {
    event.preventDefault();
    if (!event.repeat) control.click();
  }
});

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-kind], button[data-act]');
  if (!button || isBusy) return;
  const { kind, payload, act } = button.dataset;
  if (kind) return decide(kind, JSON.parse(payload));
  const item = marked();
  if (item || act === 'add') acts[act](item);
});

// Closing the page would leave a decision that may not be saved.
addEventListener('beforeunload', (event) => { if (isBusy) event.preventDefault(); });

// a decision that was not acknowledged when the page was left
const left = remembered();
const unit = new URLSearchParams(location.search).get('unit');
focus((item) => item.dataset.unit === unit);
if (left) send(left);
