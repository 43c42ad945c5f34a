// The numbers of a call: all of them come from the port, which the suite certifies.

import { check } from '../../examples/ports/javascript/conventions/arguments.mjs';
import { rowsOf } from '../../examples/ports/javascript/conventions/arrays.mjs';
import { distanceOf } from '../../examples/ports/javascript/distances.mjs';
import { pairs } from '../../examples/ports/javascript/pairwise.mjs';
import { LOSSES, takesPart } from './rows.mjs';

// Value, terms, gradients and picks; `metric` is the distance of two rows, `batch` who is whose positive and negative.
export function evaluate({ loss, inputs, options: given }) {
  const f = LOSSES[loss];
  const { arrays, options } = check(f.signature, inputs, given);
  const { value, gradients, picks } = f(inputs, given);
  const terms = f(inputs, { ...given, reduction: 'none' }).value;
  const { metric, batch } = measures(f.signature, arrays, options);
  return { value, gradients, picks, terms, options, metric, batch };
}

function measures({ inputs: rules }, arrays, options) {
  if (rules.candidates) {
    const compared = { distance: 'cosine', ...options }; // of the circle loss, which has no other
    return { metric: distanceOf(compared), batch: pairs(arrays, compared) };
  }
  if (rules.class_weights || rules.lookup_table) return {};
  return { metric: distanceOf({ distance: 'squared_euclidean', ...options }) }; // of the center loss
}

export const distance = ({ metric }, x, y) => {
  const [a, b] = [x, y].map((row) => metric.prepare(Float64Array.from(row)));
  return metric.measure(a, b).value;
};

// The terms of a call with the rows that each is made of: `row` owns it, `near` is compared with `far`.
export function termsOf(call, found) {
  const { inputs, loss } = call, { terms, picks, batch } = found, x = (i) => ['embeddings', i];
  if (inputs.anchor) return inputs.anchor.map((a, i) => triplet(call, found, a, i));
  if (inputs.x1) {
    return inputs.x1.map((u, i) => {
      const pair = { row: ['x1', i], [inputs.dissimilar[i] ? 'far' : 'near']: ['x2', i], d: distance(found, u, inputs.x2[i]) };
      return { term: terms[i], takes: takesPart(call, pair.row), ...pair };
    });
  }
  if (!batch) return inputs.embeddings.map((_, i) => ({ row: x(i), term: terms[i], takes: takesPart(call, x(i)) }));
  if (!picks) return inputs.embeddings.map((_, i) => ({ row: x(i), term: terms[i], takes: takesPart(call, x(i)) }));
  const mined = picks.map(({ anchor: a, positive: p, negative: n }) => ({
    row: x(a), near: x(p), far: x(n), d_near: batch.distance(a, p), d_far: batch.distance(a, n), takes: true,
    term: loss === 'semi_hard_triplet_loss' ? terms[a][p] : terms[a],
  }));
  const without = inputs.embeddings.map((_, i) => i).filter((i) => !picks.some(({ anchor }) => anchor === i));
  return [...mined, ...without.map((i) => ({ row: x(i), term: 0, takes: false }))].sort((s, t) => s.row[1] - t.row[1]);
}

function triplet(call, found, a, i) {
  const { inputs: { positive, negative } } = call, row = ['anchor', i];
  const d_near = distance(found, a, positive[i]), d_an = distance(found, a, negative[i]);
  const d_pn = found.options.swap ? distance(found, positive[i], negative[i]) : Infinity;
  return {
    row, near: ['positive', i], far: ['negative', i], from: d_pn < d_an ? ['positive', i] : row, d_near, d_an, d_pn,
    d_far: Math.min(d_an, d_pn), term: found.terms[i], takes: takesPart(call, row),
  };
}

// The same call as a line of Python.
export function python({ loss, inputs, options }) {
  const literal = (x) => {
    if (Array.isArray(x)) return `[${x.map(literal).join(', ')}]`;
    if (typeof x === 'boolean') return x ? 'True' : 'False';
    return x === Infinity ? 'float("inf")' : typeof x === 'string' ? `"${x}"` : `${x}`;
  };
  const rules = LOSSES[loss].signature.inputs;
  const dtype = { float: 'float64', weight: 'float64', label: 'int64', bool: 'bool' };
  const arrays = Object.entries(inputs).map(([name, item]) =>
    `${name}=torch.tensor(${literal(item)}, dtype=torch.${dtype[rules[name].kind]})`);
  const given = Object.entries(options).map(([name, value]) => `${name}=${literal(value)}`);
  return `import torch; from lossproof.backends.torch import ${loss}; print(${loss}(${[...arrays, ...given].join(', ')}))`;
}
