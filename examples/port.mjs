// An example of a port: `triplet_margin_loss` for Node 20, without dependencies, written from the text alone
// (the pages conventions, distances and triplet_margin of the spec, and the protocol). No other code was read.
// Judge it with: lossproof certify --command "node examples/port.mjs"
// The arithmetic is float64, for float32 inputs too; no half formats. The codes in comments are clauses of the spec.

import { createInterface } from 'node:readline';

const ROWS = ['anchor', 'positive', 'negative'];
const PARAMETERS = {
  margin: { default: 1, min: 0 },
  distance: { default: 'p_norm', choices: ['p_norm', 'euclidean', 'squared_euclidean', 'cosine'] },
  p: { default: 2, min: 1, infinite: true, pNormOnly: true },
  eps: { default: 1e-6, min: 0, pNormOnly: true },
  eps_at: { default: 'difference', choices: ['difference', 'root', 'floor'], pNormOnly: true },
  swap: { default: false },
  reduction: { default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
};

// ---- Arrays of the protocol, {dtype, shape, data}, from and to typed arrays (of a little-endian machine) ----
const FLOATS = { float64: Float64Array, float32: Float32Array };
const count = (shape) => shape.reduce((a, b) => a * b, 1);

function decode({ dtype, shape, data }) {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
  const values = dtype === 'bool' ? bytes : new FLOATS[dtype](bytes.buffer);
  if (values.length !== count(shape)) throw new RangeError(`${values.length} elements; expected shape [${shape}]`);
  return Float64Array.from(values);
}

function encode(values, shape, dtype) {
  return { dtype, shape, data: Buffer.from(FLOATS[dtype].from(values).buffer).toString('base64') };
}

// ---- Distances: the value, the gradients for both rows, and the derivative of those along tangents u and v ----
const finite = (x) => Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, x));  // CV-19: no inf - inf; keeps NaN
const largest = (row) => row.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
const powerOfTwo = (x) => 2 ** Math.min(1023, Math.floor(Math.log2(x)));
const dot = (x, y) => x.reduce((sum, xk, k) => sum + xk * y[k], 0);
const minus = (x, y) => x.map((xk, k) => finite(xk - y[k]));
const both = (g) => [g, g.map((gk) => -gk)];  // the gradients of a function of x - y
const zeros = (x) => new Float64Array(x.length);

// A distance that does not move with its rows: a norm at 0 (DI-15), at or below the floor (DI-17), a zero row (DI-18).
const constant = (value, x) => ({ value, gradient: () => both(zeros(x)), second: () => both(zeros(x)) });

function pNorm(x, y, { p, eps, eps_at }) {
  const t = eps_at === 'difference' ? minus(x, y).map((tk) => finite(tk + eps)) : minus(x, y);  // DI-4
  const extra = eps_at === 'difference' ? 0 : eps;
  if (p === Infinity) {
    const value = largest(t), k = t.findIndex((tk) => Math.abs(tk) === value);  // DI-16: the lowest of a tie
    const g = t.map((tk, j) => (j === k ? Math.sign(tk) : 0));
    return { ...constant(value, t), gradient: () => both(g) };
  }
  // DI-19: everything is divided by `unit` before it is powered. A power of two keeps exact steps exact; where even
  // 2^p would be too large, the unit is the largest magnitude itself.
  const top = Math.max(largest(t), extra ** (1 / p));
  if (top === 0) return constant(0, t);
  const unit = p <= 64 ? powerOfTwo(top) : top;
  const scaled = t.map((tk) => Math.abs(tk) / unit);
  const sum = scaled.reduce((s, a) => s + (p === 2 ? a * a : a ** p), 0);
  const added = extra > 0 ? extra / unit ** p : 0;
  const total = eps_at === 'floor' ? Math.max(sum, added) : sum + added;  // DI-5, DI-6
  const root = p === 2 ? Math.sqrt(total) : total ** (1 / p);
  const value = finite(unit * root);
  if (eps_at === 'floor' && sum <= added) return constant(value, t);
  const ratio = scaled.map((a) => a / root);
  const g = () => t.map((tk, k) => Math.sign(tk) * ratio[k] ** (p - 1));  // DI-11, DI-14
  return {
    value,
    gradient: () => both(g()),
    second(u, v) {
      const dt = minus(u, v), gradient = g(), along = dot(gradient, dt);
      const bend = (r) => (r === 0 && p < 2 ? 0 : r ** (p - 2));  // CV-14: a kink contributes 0
      return both(dt.map((dtk, k) => ((p - 1) / value) * (bend(ratio[k]) * dtk - gradient[k] * along)));
    },
  };
}

function squaredEuclidean(x, y) {
  const t = minus(x, y);
  return {
    value: finite(dot(t, t)),
    gradient: () => both(t.map((tk) => finite(2 * tk))),
    second: (u, v) => both(minus(u, v).map((dtk) => 2 * dtk)),
  };
}

function cosine(x, y) {
  if (largest(x) === 0 || largest(y) === 0) return constant(1, x);  // DI-10, DI-18
  const [a, b] = [x, y].map((row) => {
    const unit = powerOfTwo(largest(row)), scaled = row.map((r) => finite(r) / unit);
    const root = Math.sqrt(dot(scaled, scaled));
    return { scaled, root, norm: finite(unit * root), direction: scaled.map((s) => s / root) };
  });
  const cos = dot(a.scaled, b.scaled) / (a.root * b.root);
  const toward = (a, b) => a.direction.map((ak, k) => finite((cos * ak - b.direction[k]) / a.norm));  // DI-13
  return {
    value: 1 - cos,
    gradient: () => [toward(a, b), toward(b, a)],
    second(u, v) {
      const [da, db] = [[a, u], [b, v]].map(([{ norm, direction }, w]) => {  // of the norm and the direction of a row
        const along = dot(direction, w);
        return { norm: along, direction: w.map((wk, k) => (wk - along * direction[k]) / norm) };
      });
      const dcos = dot(da.direction, b.direction) + dot(a.direction, db.direction);
      const side = (a, da, b, db) => toward(a, b).map((g, k) =>
        (dcos * a.direction[k] + cos * da.direction[k] - db.direction[k] - g * da.norm) / a.norm);
      return [side(a, da, b, db), side(b, db, a, da)];
    },
  };
}

const DISTANCES = {
  p_norm: pNorm,
  euclidean: (x, y) => pNorm(x, y, { p: 2, eps: 0, eps_at: 'difference' }),  // DI-9
  squared_euclidean: squaredEuclidean, cosine,
};

// ---- Errors: everything is checked before any arithmetic (CV-24 to CV-30, DI-20, DI-21) ----
const SPELLED = new Map([['inf', Infinity], ['-inf', -Infinity], ['nan', NaN]]);
const same = (s, t) => s.length === t.length && s.every((n, i) => n === t[i]);

function checkNames(given, names) {
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`${unknown} is unknown; expected one of ${names}`);
}

function checkInputs(inputs) {
  checkNames(inputs, [...ROWS, 'mask']);
  const { anchor, mask } = inputs, units = anchor?.shape.slice(0, -1);
  const must = (holds, name, expected) => {
    const { dtype, shape } = inputs[name] ?? {};
    if (!holds) throw new TypeError(`${name} is ${dtype} of shape [${shape}]; expected ${expected}`);
  };
  for (const name of ROWS) {
    const { dtype, shape } = inputs[name] ?? {};
    must(dtype in FLOATS, name, `one of ${Object.keys(FLOATS)}`);
    must(dtype === anchor.dtype, name, `${anchor.dtype}, as anchor`);
    must(same(shape, anchor.shape), name, `shape [${anchor.shape}], as anchor`);
    must(shape.at(-1) > 0, name, 'a feature axis of length 1 or more');
  }
  must(!mask || mask.dtype === 'bool', 'mask', 'bool');
  must(!mask || same(mask.shape, units), 'mask', `shape [${units}]`);
}

function checkParameters(given) {
  checkNames(given, Object.keys(PARAMETERS));
  const options = {};
  for (const [name, rule] of Object.entries(PARAMETERS)) {
    let value = Object.hasOwn(given, name) ? given[name] : rule.default;
    const must = (holds, expected) => {
      if (!holds) throw new RangeError(`${name} is ${value} (a ${typeof value}); expected ${expected}`);
    };
    if (rule.choices) {
      must(rule.choices.includes(value), `one of ${rule.choices}`);
    } else if (typeof rule.default === 'boolean') {
      must(typeof value === 'boolean', 'true or false');
    } else {
      value = SPELLED.get(value) ?? value;
      const range = `[${rule.min}, inf${rule.infinite ? ']' : ')'}`;
      must(typeof value === 'number' && value >= rule.min && (value < Infinity || rule.infinite), `a number in ${range}`);
    }
    if (rule.pNormOnly && options.distance !== 'p_norm') must(value === rule.default, `its default with ${options.distance}`);
    options[name] = value;
  }
  if (options.p === Infinity && options.eps_at !== 'difference' && options.eps > 0) {
    throw new RangeError(`eps is ${options.eps}; expected 0 with p = inf and eps_at = ${options.eps_at}`);
  }
  return options;
}

// ---- The loss ----
function tripletMarginLoss({ inputs, parameters, order, cotangent, tangents }) {
  checkInputs(inputs);
  const options = checkParameters(parameters);
  const { dtype, shape } = inputs.anchor;
  const distance = (x, y) => DISTANCES[options.distance](x, y, options);
  const width = shape.at(-1), units = shape.slice(0, -1);
  const rowOf = (array, i) => array.subarray(i * width, (i + 1) * width);
  const perInput = (make) => Object.fromEntries(ROWS.map((name) => [name, make(name)]));
  const data = perInput((name) => decode(inputs[name]));
  const mask = inputs.mask && decode(inputs.mask);

  const terms = new Float64Array(count(units));
  const active = [];  // the distances in the terms that have a gradient: [row, sign, distance, the names of its two inputs]
  let taking = 0, positive = 0;
  for (let i = 0; i < terms.length; i++) {
    if (mask && !mask[i]) continue;  // CV-8, CV-9: the content is never looked at
    const [a, p, n] = ROWS.map((name) => rowOf(data[name], i));
    const ap = distance(a, p), an = distance(a, n), pn = options.swap ? distance(p, n) : null;
    const other = pn !== null && pn.value < an.value ? pn : an;  // TM-6: strictly
    const hasNaN = [a, p, n].some((row) => row.some(Number.isNaN));  // CV-10: also beside a zero row under cosine
    terms[i] = hasNaN ? NaN : Math.max(0, options.margin + ap.value - other.value);
    taking += 1;
    positive += terms[i] <= 0 ? 0 : 1;  // CV-4: NaN is counted
    if (!(terms[i] > 0)) continue;  // CV-13; the gradient of a NaN term is unspecified and stays 0 here
    active.push([i, 1, ap, 'anchor', 'positive'], [i, -1, other, other === pn ? 'positive' : 'anchor', 'negative']);
  }

  const each = options.reduction === 'none';
  const divisor = { none: 1, sum: 1, mean: taking, mean_nonzero: positive }[options.reduction] || 1;  // CV-5
  const value = each ? terms : [terms.reduce((sum, term) => sum + term, 0) / divisor];
  const answer = { value: encode(value, each ? units : [], 'float64') };
  if (order === 0) return answer;

  const weights = cotangent ? decode(cotangent) : value.map(() => 1);
  const accumulate = (derivative) => {  // TM-7: the derivatives of the distances, weighted, into the rows they touch
    const into = perInput((name) => zeros(data[name]));
    for (const [i, sign, of, ...names] of active) {
      const weight = (sign * weights[each ? i : 0]) / divisor;
      derivative(of, names, i).forEach((part, side) => {
        const row = rowOf(into[names[side]], i);
        part.forEach((x, k) => { row[k] += weight * x; });
      });
    }
    return perInput((name) => encode(into[name], shape, dtype));
  };
  answer.gradients = accumulate((of) => of.gradient());
  if (order === 1) return answer;
  const along = perInput((name) => (tangents?.[name] ? decode(tangents[name]) : zeros(data[name])));
  answer.second = accumulate((of, names, i) => of.second(...names.map((name) => rowOf(along[name], i))));
  return answer;
}

// ---- The protocol ----
const HELLO = {
  type: 'hello', protocol: 1, name: 'port.mjs', version: '1.0', framework: 'node', framework_version: process.versions.node,
  device: 'cpu', dtypes: Object.keys(FLOATS), modes: ['eager'], orders: [0, 1, 2],
  losses: { triplet_margin_loss: { accepts: null } },
};

function answerCase(message) {
  if (message.loss !== 'triplet_margin_loss') return { unsupported: `no ${message.loss}` };
  const half = Object.values(message.inputs).find(({ dtype }) => ['float16', 'bfloat16'].includes(dtype));
  if (half) return { unsupported: `no ${half.dtype}` };
  try {
    return tripletMarginLoss(message);
  } catch ({ name, message: text }) {
    return { error: { type: name, message: text } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === 'bye') break;
  const reply = message.type === 'hello' ? HELLO : { type: 'answer', id: message.id, ...answerCase(message) };
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.stdin.destroy();
