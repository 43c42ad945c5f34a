// The distances of two rows (spec/distances.md): a value, and pull(slope, gx, gy), which adds slope times the gradient
// of the distance to the gradients gx and gy of its two rows.

import { must } from './conventions/arguments.mjs';

// CV-19: a number that is too large is cut off, so that no infinity is subtracted from another. NaN stays NaN.
const MOST = Number.MAX_VALUE;
export const finite = (x) => (x > MOST ? MOST : x < -MOST ? -MOST : x);

const powerOfTwo = (x) => 2 ** Math.min(1023, Math.floor(Math.log2(x)));
const still = (value) => ({ value, pull() {} }); // DI-15, DI-17, DI-18: it does not move with its rows

function largest(row) {
  let top = 0;
  for (const x of row) top = Math.max(top, Math.abs(x)); // keeps NaN
  return top;
}

export function dot(x, y) {
  let sum = 0;
  for (let k = 0; k < x.length; k++) sum = finite(sum + finite(x[k] * y[k]));
  return sum;
}

function minus(x, y, plus = 0) {
  const t = new Float64Array(x.length);
  for (let k = 0; k < x.length; k++) t[k] = finite(finite(x[k] - y[k]) + plus);
  return t;
}

export function addTo(into, slope, row) {
  for (let k = 0; k < row.length; k++) into[k] = finite(into[k] + slope * row[k]);
}

// A function of x - y: its gradients for the two rows are opposite.
const opposite = (gradient) => (slope, gx, gy) => {
  const g = gradient();
  addTo(gx, slope, g);
  addTo(gy, -slope, g);
};

function pNorm(x, y, { p, eps, eps_at }) {
  const t = minus(x, y, eps_at === 'difference' ? eps : 0); // DI-4
  const extra = eps_at === 'difference' ? 0 : eps;
  if (p === Infinity) { // DI-3
    const value = largest(t), k = t.findIndex((tk) => Math.abs(tk) === value); // DI-16: the lowest of a tie
    return { value, pull: opposite(() => t.map((tk, j) => (j === k ? Math.sign(tk) : 0))) };
  }
  // DI-19: everything is divided by `unit` before it is powered. A power of two keeps exact steps exact; where even
  // 2^p would be too large, the unit is the largest magnitude itself.
  const top = Math.max(largest(t), extra ** (1 / p));
  if (top === 0) return still(0);
  const unit = p <= 64 ? powerOfTwo(top) : top;
  const power = (a) => (p === 2 ? a * a : a ** p);
  let sum = 0;
  for (const tk of t) sum += power(Math.abs(tk) / unit);
  const added = extra > 0 ? extra / unit ** p : 0;
  const total = eps_at === 'floor' ? Math.max(sum, added) : sum + added; // DI-5, DI-6
  const root = p === 2 ? Math.sqrt(total) : total ** (1 / p);
  const value = finite(unit * root);
  if (eps_at === 'floor' && sum <= added) return still(value); // DI-17
  const gradient = () => t.map((tk) => Math.sign(tk) * (Math.abs(tk) / unit / root) ** (p - 1)); // DI-11, DI-14
  return { value, pull: opposite(gradient) };
}

function squaredEuclidean(x, y, { floor = 0 }) {
  const t = minus(x, y), square = dot(t, t); // DI-7
  if (square <= floor) return still(floor); // PW-3, PW-4; at 0 the gradient is 0 by itself
  return { value: square, pull: opposite(() => t.map((tk) => finite(2 * tk))) }; // DI-12
}

// The length of a row, its direction, and what both are made of. A zero row has the direction 0.
export function direction(row) {
  const top = largest(row), unit = top === 0 ? 1 : powerOfTwo(top);
  const scaled = row.map((x) => finite(x) / unit), root = Math.sqrt(dot(scaled, scaled));
  return { scaled, root, norm: finite(unit * root), unit: scaled.map((x) => (root === 0 ? 0 : x / root)) };
}

export function cosineOf(a, b) {
  const both = a.root * b.root;
  return both === 0 ? 0 : dot(a.scaled, b.scaled) / both; // DI-10: NaN comes before a zero row
}

// Adds slope times the gradient of the cosine to the gradients of both rows: DI-13, DI-18.
export function pullCosine(slope, cosine, a, b, gx, gy) {
  if (a.root === 0 || b.root === 0) return;
  const toward = (from, to) => from.unit.map((x, k) => finite((to.unit[k] - cosine * x) / from.norm));
  addTo(gx, slope, toward(a, b));
  addTo(gy, slope, toward(b, a));
}

function cosineDistance(a, b) {
  const cosine = cosineOf(a, b);
  return { value: 1 - cosine, pull: (slope, gx, gy) => pullCosine(-slope, cosine, a, b, gx, gy) }; // DI-8
}

const DISTANCES = {
  p_norm: pNorm,
  euclidean: (x, y, { floor = 0 }) => pNorm(x, y, { p: 2, eps: floor, eps_at: 'floor' }), // DI-9, PW-3
  squared_euclidean: squaredEuclidean,
  cosine: cosineDistance,
};

// Under the options of a call, which are checked first: measure(x, y) of two rows that prepare(row) has seen.
export function distanceOf(options) {
  const { distance, p, eps, eps_at, floor } = options;
  const unplaced = p === Infinity && eps_at !== 'difference';
  if (unplaced) must(eps === 0, 'eps', eps, `0 with p = inf and eps_at = ${eps_at}`); // DI-20
  if (distance === 'cosine') must(!floor, 'floor', floor, '0 with distance cosine'); // PW-3
  return {
    prepare: distance === 'cosine' ? direction : (row) => row,
    measure: (x, y) => DISTANCES[distance](x, y, options),
  };
}
