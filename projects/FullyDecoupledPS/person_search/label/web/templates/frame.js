// Boxes of a frame: moved, resized, added and removed, by keys or by dragging.
import { acts, complain, decide, marked, tell } from '/label.js';

const NOT_SAVED = 'A box is not saved: Enter saves it, Esc takes it back.';
const BORDER = 10;  // pixels on the screen, within which a drag moves a border
const SMALLEST = 4;  // pixels of the frame
const stage = () => document.querySelector('.lb-stage');
const size = () => [Number(stage().dataset.width), Number(stage().dataset.height)];
const boxes = () => [...document.querySelectorAll('.lb-box')];
const isNew = (box) => box.dataset.id === 'new';
// One box is changed at a time: none is lost when another one is saved.
function isBlocked(box) {
  const other = unsaved();
  if (!other || other === box) return false;
  complain(NOT_SAVED);
  return true;
}

const isChanged = (box) => isNew(box) || box.place.some((value, i) => value !== box.saved[i]);
const unsaved = () => boxes().find(isChanged);
const unitOf = (box) => box?.dataset.unit ?? '';
const within = (value, low, high) => Math.min(Math.max(value, low), high);

function draw(box, place) {
  const [width, height] = size();
  box.place = place.map((value) => Math.round(10 * value) / 10);
  const [x0, y0, x1, y1] = box.place;
  Object.assign(box.style, {
    left: `${100 * x0 / width}%`, top: `${100 * y0 / height}%`,
    width: `${100 * (x1 - x0) / width}%`, height: `${100 * (y1 - y0) / height}%`,
    // smaller ones lie above larger ones
    zIndex: isNew(box) ? 1001 : Math.round(1000 * (1 - (x1 - x0) * (y1 - y0) / (width * height))),
  });
  box.classList.toggle('lb-changed', isChanged(box));
  box.setAttribute('aria-label', `${box.dataset.who}, box from ${Math.round(x0)}, ${Math.round(y0)} to ${Math.round(x1)}, ${Math.round(y1)}${isChanged(box) ? ', not saved' : ''}`);
}

function lay() {
  if (!stage()) return;
  stage().style.setProperty('--aspect', size()[0] / size()[1]);
  for (const box of boxes()) {
    const place = JSON.parse(box.dataset.box);
    // as it is drawn, so that it is not changed yet
    box.saved = place.map((value) => Math.round(10 * value) / 10);
    draw(box, place);
  }
}

function move(box, dx, dy) {
  const [width, height] = size();
  const [x0, y0, x1, y1] = box.place;
  const [x, y] = [within(dx, -x0, width - x1), within(dy, -y0, height - y1)];
  draw(box, [x0 + x, y0 + y, x1 + x, y1 + y]);
}

// edges: -1 the left or upper one, 1 the right or lower one, 0 none
function resize(box, [edgeX, edgeY], dx, dy) {
  const [width, height] = size();
  let [x0, y0, x1, y1] = box.place;
  if (edgeX < 0) x0 = within(x0 + dx, 0, x1 - SMALLEST);
  if (edgeX > 0) x1 = within(x1 + dx, x0 + SMALLEST, width);
  if (edgeY < 0) y0 = within(y0 + dy, 0, y1 - SMALLEST);
  if (edgeY > 0) y1 = within(y1 + dy, y0 + SMALLEST, height);
  draw(box, [x0, y0, x1, y1]);
}

function save(box) {
  if (!isNew(box)) return decide('move_box', { box_id: Number(box.dataset.id), box: box.place });
  const unit = document.getElementById('who').value;
  decide('add_box', { frame_id: Number(stage().dataset.frame), box: box.place, unit: unit ? Number(unit) : null });
}

function revert(box) {
  complain('');
  if (!isNew(box)) return draw(box, box.saved);
  box.remove();
  boxes()[0]?.focus();
}

Object.assign(acts, {
  add() {
    if (isBlocked(null)) return;
    const [width, height] = size();
    const places = boxes().map((box) => box.place).sort((a, b) => (a[3] - a[1]) - (b[3] - b[1]));
    const [x0, y0, x1, y1] = places[Math.floor(places.length / 2)] ?? [0, 0, width / 10, height / 4];
    const box = document.createElement('button');
    box.type = 'button';
    box.className = 'lb-box lb-person';
    Object.assign(box.dataset, { item: 'boxnew', id: 'new', who: 'New box' });
    box.append(Object.assign(document.createElement('span'), { textContent: '+' }));
    stage().append(box);
    draw(box, [(width - x1 + x0) / 2, (height - y1 + y0) / 2, (width + x1 - x0) / 2, (height + y1 - y0) / 2]);
    box.focus();
    tell('A new box: arrow keys move it, with Shift resize it, or draw it; Enter saves it, Esc takes it back.');
  },
  save() {
    const box = unsaved();
    if (box) save(box);
    else complain('No box is changed.');
  },
  revert() { if (unsaved()) revert(unsaved()); },
  remove(box) {
    if (!box?.matches('.lb-box')) return;
    if (isNew(box)) revert(box);
    else decide('remove_box', { box_id: Number(box.dataset.id) });
  },
});

// keys

document.addEventListener('keydown', (event) => {
  const box = event.target.closest?.('.lb-box');
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!box || !way || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (isBlocked(box)) return;
  const step = Math.max(1, Math.round(size()[0] / 400));
  const [dx, dy] = way.map((value) => value * step);
  if (event.shiftKey) resize(box, way, 0, 0), resize(box, [Math.abs(way[0]), Math.abs(way[1])], dx, dy);
  else move(box, dx, dy);
  tell(`${box.getAttribute('aria-label')}.`);
}, true);

// What is changed is not left behind in silence.
document.addEventListener('click', (event) => {
  const control = event.target.closest('a[href], button[data-kind], button[data-act]');
  if (!control || ['add', 'save', 'revert', 'remove'].includes(control.dataset.act) || !unsaved()) return;
  event.preventDefault();
  event.stopPropagation();
  complain(NOT_SAVED);
}, true);

// In the next frame the same person is marked.
document.addEventListener('click', (event) => {
  const link = stage() && event.target.closest('.lb-tools a[href]');
  if (link && unitOf(marked())) link.search = `?unit=${unitOf(marked())}`;
});
addEventListener('beforeunload', (event) => { if (stage() && unsaved()) event.preventDefault(); });

// dragging

let drag = null;

function point(event) {
  const area = stage().getBoundingClientRect();
  const [width, height] = size();
  return [
    within((event.clientX - area.left) / area.width, 0, 1) * width,
    within((event.clientY - area.top) / area.height, 0, 1) * height,
  ];
}

function edgesAt(box, event) {
  const area = box.getBoundingClientRect();
  const near = (value, low, high) => {
    const border = Math.min(BORDER, (high - low) / 4);
    return value - low < border ? -1 : high - value < border ? 1 : 0;
  };
  return [near(event.clientX, area.left, area.right), near(event.clientY, area.top, area.bottom)];
}

document.addEventListener('pointerdown', (event) => {
  if (event.button || !event.target.closest('.lb-stage')) return;
  const touched = event.target.closest('.lb-box');
  const drawn = boxes().find(isNew);
  if (touched && isBlocked(touched)) return;
  if (touched) drag = { box: touched, edges: edgesAt(touched, event), from: point(event) };
  else if (drawn) drag = { box: drawn, anchor: point(event) };
  if (drag) stage().setPointerCapture(event.pointerId);
});

document.addEventListener('pointermove', (event) => {
  if (!drag) return;
  const [x, y] = point(event);
  if (drag.anchor) {
    const [a, b] = drag.anchor;
    const corners = [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)];
    if (corners[2] - corners[0] >= SMALLEST && corners[3] - corners[1] >= SMALLEST) draw(drag.box, corners);
    return;
  }
  const [dx, dy] = [x - drag.from[0], y - drag.from[1]];
  if (drag.edges.some(Boolean)) resize(drag.box, drag.edges, dx, dy);
  else move(drag.box, dx, dy);
  drag.from = [x, y];
});

addEventListener('pointerup', () => {
  const box = drag?.box;
  drag = null;
  if (!box) return;
  box.focus();
  if (!isNew(box) && isChanged(box)) save(box);
});
addEventListener('pointercancel', () => { drag = null; });

// A picture that is gone: say why.
async function explain(img) {
  const answer = await fetch(img.src);
  if (answer.ok || !img.isConnected) return;
  const text = Object.assign(document.createElement('p'), { className: 'ps-missing-frame', textContent: await answer.text() });
  img.replaceWith(text);
}
document.addEventListener('error', ({ target }) => { if (target.matches?.('.lb-stage img')) explain(target); }, true);
const shown = document.querySelector('.lb-stage img');
if (shown?.complete && !shown.naturalWidth) explain(shown);

document.addEventListener('shown', lay);
lay();
