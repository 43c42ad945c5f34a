// The picture: rows as marks that stay, and under them everything that is drawn anew at each change.

import { at, classOf, isUnit, nameOf, points, takesPart, width } from './rows.mjs';
import { shown } from './shown.mjs';
import { WIDTH, toPixels } from './view.mjs';
import { zones } from './zones.mjs';

const ARROW = 54, TONES = 4;
const SHAPES = [
  '<circle r="7"/>', '<rect x="-6.5" y="-6.5" width="13" height="13"/>',
  '<path d="M0 -8.5l8 14.5h-16z"/>', '<path d="M0 -9l9 9-9 9-9-9z"/>',
];
const ROLES = { anchor: 0, positive: 1, negative: 2 }; // of a triplet the shape says the part, the colour which triplet

const tone = (call, point) => {
  const label = classOf(call, point);
  return label === null || label < 0 ? 'none' : `${label % TONES}`;
};
const said = (call, point) => {
  const [x, y] = at(call, point), label = classOf(call, point);
  const of = point[0] in ROLES || point[0].startsWith('x') ? '' : label === null ? ', of the queue' : `, class ${label}`;
  const place = width(call) === 1 ? shown(x) : `(${shown(x)}, ${shown(y)})`;
  return `${nameOf(point)}, ${point[0]}${of}, at ${place}${takesPart(call, point) ? '' : ', masked out'}`;
};

// A mark for each row; a browser's focus stays on it while it moves.
export function marks(call) {
  return points(call).map((point) => {
    const shape = ROLES[point[0]] ?? (tone(call, point) === 'none' ? 0 : tone(call, point));
    return `<g class="mark t${tone(call, point)}${isUnit(call.loss, point) ? '' : ' hollow'}" tabindex="0" role="button"
      data-point="${point}"><circle class="reach" r="18"/><g class="shape">${SHAPES[shape]}</g>
      <text x="11" y="-9">${nameOf(point)}</text></g>`;
  }).join('');
}

export function place(svg, call, view) {
  for (const mark of svg.querySelectorAll('.mark')) {
    const [array, i] = mark.dataset.point.split(','), point = [array, Number(i)];
    const [x, y] = toPixels(view, at(call, point));
    mark.setAttribute('transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    mark.setAttribute('aria-label', said(call, point));
    const selected = `${point}` === `${call.selected}`;
    mark.setAttribute('aria-pressed', selected);
    mark.classList.toggle('faint', !takesPart(call, point));
  }
}

// What lies under the marks.
export function ground(call, found, view, terms, term, rays) {
  const px = (point) => toPixels(view, at(call, point));
  const line = (from, to, css) => `<path class="${css}" d="M${px(from)}L${px(to)}"/>`;
  const origin = toPixels(view, [0, 0]);
  const axes = width(call) === 1 ? `<path class="axis" d="M0 ${origin[1]}H${WIDTH}"/>` : '';
  const spokes = rays ? points(call).map((p) => `<path class="axis" d="M${origin}L${px(p)}"/>`).join('') : '';
  const joined = (t, css) => (t.near ? line(t.row, t.near, `near${css}`) : '')
    + (t.far ? line(t.from ?? t.row, t.far, `far${css}`) : '');
  const others = terms.filter((t) => t !== term).map((t) => joined(t, ' faint')).join('');
  const centers = call.inputs.centers
    ? call.inputs.embeddings.map((_, i) => line(['embeddings', i], ['centers', call.inputs.labels[i]], 'near faint')).join('') : '';
  return axes + spokes + zones(call, found, view, term) + others + centers + (term ? joined(term, '') : '') + arrows(call, found, view);
}

export function steepest({ gradients }) {
  return Math.max(0, ...Object.entries(gradients).flatMap(([, rows]) => rows.map((g) => Math.hypot(...g))));
}

function arrows(call, found, view) {
  const most = steepest(found);
  if (!(most > 0 && most < Infinity)) return '';
  return points(call).map((point) => {
    const g = found.gradients[point[0]]?.[point[1]] ?? [0], [x, y] = toPixels(view, at(call, point));
    const [dx, dy] = [-g[0], g[1] ?? 0].map((gk) => (gk / most) * ARROW); // down the page is up in an SVG
    const length = Math.hypot(dx, dy);
    if (!(length > 1)) return '';
    const [ux, uy] = [dx / length, dy / length], start = 9, [ex, ey] = [x + ux * (start + length), y + uy * (start + length)];
    const head = [[-6, 3.5], [-6, -3.5]].map(([s, t]) => [ex + s * ux - t * uy, ey + s * uy + t * ux].map((v) => v.toFixed(1)));
    return `<path class="arrow" d="M${x + ux * start} ${y + uy * start}L${ex} ${ey}M${head[0]}L${ex} ${ey}L${head[1]}"/>`;
  }).join('');
}
