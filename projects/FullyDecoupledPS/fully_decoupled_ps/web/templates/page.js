// A part's buttons name the event that a click is, and carry its data.
const EVENTS = ['person', 'frame', 'box', 'drawn'];

element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-event]');
  if (button && EVENTS.includes(button.dataset.event)) {
    trigger(button.dataset.event, { ...button.dataset });
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
