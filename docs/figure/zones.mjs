// Where a negative of the term that is looked at would be hard, semi-hard or easy; of a dissimilar pair, the margin.

import { distanceOf } from '../../examples/ports/javascript/distances.mjs';
import { at, width } from './rows.mjs';
import { HEIGHT, WIDTH, toPixels } from './view.mjs';

const TURN = 96;

// The rows at a distance from `centre`, as a path: for a power of a norm, each direction is measured once by the port.
function rim(options, centre, distance, view) {
  const power = options.distance === 'squared_euclidean' ? 2 : 1;
  const { measure } = distanceOf({ ...options, ...('eps' in options && { eps: 0 }) });
  const corners = Array.from({ length: TURN }, (_, i) => {
    const turn = (2 * Math.PI * i) / TURN, u = [Math.cos(turn), Math.sin(turn)];
    const reach = (distance / measure(Float64Array.from(u), Float64Array.of(0, 0)).value) ** (1 / power);
    return toPixels(view, [centre[0] + reach * u[0], centre[1] + reach * u[1]]).map((x) => x.toFixed(1));
  });
  return `M${corners.join('L')}Z`;
}

// Under cosine: the rows within a distance are a wedge from the origin around the direction of `centre`.
function wedge(centre, distance, view) {
  const half = Math.acos(Math.max(-1, Math.min(1, 1 - distance))), middle = Math.atan2(centre[1], centre[0]);
  const far = (2 * (WIDTH + HEIGHT)) / view.scale, steps = 24;
  const corners = Array.from({ length: steps + 1 }, (_, i) => {
    const turn = middle - half + (2 * half * i) / steps;
    return toPixels(view, [far * Math.cos(turn), far * Math.sin(turn)]).map((x) => x.toFixed(1));
  });
  return `M${toPixels(view, [0, 0])}L${corners.join('L')}Z`;
}

export function zones(call, { options }, view, term) {
  if (!term?.takes || !(term.d_near >= 0 || (term.far && options.margin >= 0))) return '';
  const centre = at(call, term.row), cosine = options.distance === 'cosine';
  const path = (distance) => (cosine ? wedge(centre, distance, view) : rim(options, centre, distance, view));
  if (term.d_near === undefined) return `<path class="zone semi" d="${path(options.margin)}"/>`;
  const semi = options.soft_margin ? '' : `<path class="zone semi" d="${path(term.d_near + options.margin)}"/>`;
  return `${semi}<path class="zone hard" d="${path(term.d_near)}"/>`;
}

export function legend(call, { options }, term) {
  if (!term) return '';
  if (call.inputs.x1) return term.far ? 'Shaded: within the margin of the pair that is selected. ' : '';
  if (term.d_near === undefined) return '';
  const band = options.soft_margin ? '' : ', light: semi-hard, outside: easy';
  return `Where a negative is, for ${width(call) === 1 ? 'a row on the line' : 'the anchor that is selected'}: dark: hard${band}. `;
}
