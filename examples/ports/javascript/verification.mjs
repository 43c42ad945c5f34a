// Rates and accuracies of pairs at thresholds (spec/verification.md).

import { must } from './conventions/arguments.mjs';
import { count } from './conventions/arrays.mjs';
import { plain } from './conventions/functions.mjs';

const inputs = {
  distances: { shape: 'N', kind: 'float', range: '(-inf, inf]' },
  same: { shape: 'N', kind: 'bool' },
};
const thresholds = { shape: 'T', kind: 'float', scalar: true };
const rates = (...names) => Object.fromEntries(names.map((name) => [name, { shape: 'T', kind: 'float' }]));
const numbers = (...names) => Object.fromEntries(names.map((name) => [name, { shape: '', kind: 'float' }]));

// Of ascending distances, how many are at most t: VE-2.
function accepted(distances, t) {
  let low = 0, high = distances.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (distances[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The distances of each kind of pair in order, and what is common to the four functions.
function sorted({ distances, same, thresholds: at }) {
  const of = (kind) => distances.data.filter((_, i) => same.data[i] === kind).sort();
  at?.data.forEach((t, i) => { // VE-6
    must(!Number.isNaN(t) && !(t < at.data[i - 1]), `thresholds[${i}]`, t, 'a number not below the one before it');
  });
  const unknown = (list) => list.some(Number.isNaN);
  const rounded = distances.dtype === 'float32' ? Math.fround : (x) => x;
  const rate = (hits, all, nan) => (all === 0 || nan ? NaN : rounded(hits / all)); // VE-3, VE-4, VE-5
  const scalar = (x) => ({ dtype: distances.dtype, shape: [], data: [x] });
  const array = (of) => ({ dtype: distances.dtype, shape: at.shape, data: Array.from(at.data, of) });
  return { near: of(1), far: of(0), unknown, rounded, rate, scalar, array };
}

export const verification_rates = plain({
  function: 'verification_rates', inputs: { ...inputs, thresholds }, returns: rates('val', 'far'),
}, (arrays) => {
  const { near, far, unknown, rate, array } = sorted(arrays);
  const share = (list) => array((t) => rate(accepted(list, t), list.length, unknown(list))); // VE-1
  return { val: share(near), far: share(far) };
});

// How many pairs are judged rightly at a threshold: VE-9.
const right = (near, far, t) => accepted(near, t) + far.length - accepted(far, t);

export const verification_accuracy = plain({
  function: 'verification_accuracy', inputs: { ...inputs, thresholds }, returns: rates('accuracy'),
}, (arrays) => {
  const { near, far, unknown, rate, array } = sorted(arrays);
  const nan = unknown(near) || unknown(far);
  return { accuracy: array((t) => rate(right(near, far, t), near.length + far.length, nan)) };
});

export const best_accuracy = plain({
  function: 'best_accuracy', inputs, returns: numbers('accuracy', 'threshold'),
}, (arrays) => { // VE-10
  const { near, far, unknown, rate, scalar } = sorted(arrays);
  const all = count(arrays.distances.shape), nan = unknown(near) || unknown(far);
  let best = -Infinity;
  for (const t of arrays.distances.data.slice().sort()) if (right(near, far, t) > right(near, far, best)) best = t;
  return { accuracy: scalar(rate(right(near, far, best), all, nan)), threshold: scalar(all === 0 || nan ? NaN : best) };
});

export const val_at_far = plain({
  function: 'val_at_far',
  inputs,
  parameters: { far: { kind: 'real', default: 0.001, range: '[0, 1]' } },
  returns: numbers('val', 'threshold'),
}, (arrays, options) => { // VE-11
  const { near, far, unknown, rounded, rate, scalar } = sorted(arrays);
  const nan = near.length === 0 || far.length === 0 || unknown(near) || unknown(far);
  const allowed = (t) => rate(accepted(far, t), far.length, nan) <= rounded(options.far);
  const threshold = arrays.distances.data.reduce((most, t) => (t > most && allowed(t) ? t : most), -Infinity);
  return { val: scalar(rate(accepted(near, threshold), near.length, nan)), threshold: scalar(nan ? NaN : threshold) };
});
