// A part's buttons name the event that a click is, and carry its data.
const EVENTS = [
  'person', 'frame', 'box', 'drawn', 'list', 'neighbor', 'turn', 'group', 'download', 'token',
];

element.addEventListener('click', (event) => {
  const menu = element.querySelector('.ps-menu[open]');
  const button = event.target.closest('button[data-event]');
  if (menu && (button || !menu.contains(event.target))) menu.open = false;
  if (button && EVENTS.includes(button.dataset.event)) {
    trigger(button.dataset.event, { ...button.dataset });
  }
});

element.addEventListener('keydown', (event) => {
  const menu = element.querySelector('.ps-menu[open]');
  if (menu && event.key === 'Escape') {
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});

// A field that is changed does the same.
element.addEventListener('change', (event) => {
  const { change, name } = event.target.dataset;
  if (EVENTS.includes(change) && event.target.value !== '') {
    trigger(change, { [name]: event.target.value });
  }
  if (event.target.dataset.upload && event.target.files.length) {
    upload(event.target, event.target.files[0]);
  }
});

// A picture of the visitor's own: its bytes go to the server, which answers with a token.
async function upload(field, file) {
  const area = field.closest('.ps-drop');
  const problem = area.querySelector('.ps-problem');
  problem.hidden = true;
  area.classList.add('ps-busy');
  try {
    const query = new URLSearchParams({ name: file.name });
    const address = new URL(field.dataset.upload.slice(1), document.baseURI);
    const response = await fetch(`${address}?${query}`, { method: 'POST', body: file });
    const text = await response.text();
    if (response.ok) {
      trigger('token', { token: JSON.parse(text).token });
    } else {
      const said = response.status === 400 ? JSON.parse(text).error : `${file.name}: ${text}`;
      throw new Error(said);
    }
  } catch (error) {
    problem.textContent = error instanceof TypeError ? `${file.name} could not be sent` : error.message;
    problem.hidden = false;
  }
  area.classList.remove('ps-busy');
  field.value = '';  // so that the same file can be chosen again
}

element.addEventListener('dragover', (event) => {
  if (event.target.closest('.ps-drop')) event.preventDefault();
});

element.addEventListener('drop', (event) => {
  const field = event.target.closest('.ps-drop')?.querySelector('[data-upload]');
  if (field && event.dataTransfer.files.length) {
    event.preventDefault();
    upload(field, event.dataTransfer.files[0]);
  }
});

// Drawing a box in an uploaded picture.
let start = null;

function place(event, stage) {
  const area = stage.getBoundingClientRect();
  const within = (value) => Math.min(Math.max(value, 0), 1);
  return [within((event.clientX - area.left) / area.width), within((event.clientY - area.top) / area.height)];
}

function box(event, stage) {
  const [x, y] = place(event, stage);
  return [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
}

element.addEventListener('pointerdown', (event) => {
  const stage = event.target.closest('.ps-drawable');
  if (stage && event.button === 0) {
    start = place(event, stage);
  }
});

element.addEventListener('pointermove', (event) => {
  const stage = start && event.target.closest('.ps-drawable');
  if (!stage) return;
  const [x0, y0, x1, y1] = box(event, stage);
  if (x1 - x0 < 0.01 && y1 - y0 < 0.01) return;
  // from here on it is no click on a person
  stage.setPointerCapture(event.pointerId);
  const drawn = stage.querySelector('.ps-drawn');
  drawn.hidden = false;
  Object.assign(drawn.style, {
    left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%`,
  });
});

element.addEventListener('pointerup', (event) => {
  const stage = start && element.querySelector('.ps-drawable');
  if (stage && stage.hasPointerCapture(event.pointerId)) {
    const { width, height } = stage.dataset;
    const [x0, y0, x1, y1] = box(event, stage);
    const pixels = [x0 * width, y0 * height, x1 * width, y1 * height].map(Math.round);
    if (pixels[2] > pixels[0] && pixels[3] > pixels[1]) {
      trigger('drawn', { box: pixels.join(',') });
    }
  }
  start = null;
});

element.addEventListener('pointercancel', () => { start = null; });
