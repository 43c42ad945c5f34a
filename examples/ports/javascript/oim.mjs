// The OIM loss and the update of its memory (spec/oim.md).

import { sameLabel } from './conventions/arguments.mjs';
import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { loss, plain } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { softmax } from './cross_entropy.mjs';
import { addTo, direction, dot, finite } from './distances.mjs';

const embeddings = { shape: 'B D', kind: 'float', differentiable: true };
const labels = { shape: 'B', kind: 'label', range: '[0, C)', or: 'unlabelled' };
const memory = { lookup_table: { shape: 'C D', kind: 'float' }, queue: { shape: 'Q D', kind: 'float' } };
const mask = { shape: 'B', kind: 'bool', optional: true };
const unlabelled = { kind: 'integer', default: -1, range: 'outside [0, C)' };

export const signature = {
  loss: 'oim_loss',
  inputs: { embeddings, labels, ...memory, mask, weights: { shape: 'B', kind: 'weight', optional: true } },
  parameters: {
    temperature: { kind: 'real', default: 0.1, range: '(0, inf)' },
    unlabelled,
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

const nameless = ({ labels: { data } }, options, i) => sameLabel(data[i], options.unlabelled); // OI-4

export const oim_loss = loss(signature, (arrays, options) => {
  const { temperature } = options;
  const rows = rowsOf(arrays.embeddings), known = [...rowsOf(arrays.lookup_table), ...rowsOf(arrays.queue)];
  const masked = takingPart(arrays.mask, rows.length);
  const taking = masked.map((takes, i) => takes && !nameless(arrays, options, i)); // OI-3
  const found = rows.map((row, i) => {
    if (!taking[i]) return NOTHING;
    const y = Number(arrays.labels.data[i]);
    const { costs, p } = softmax(known.map((w) => finite(dot(row, w) / temperature))); // OI-1, OI-2, OI-5
    return { value: costs[y], shares: p.map((pj, j) => (pj - (j === y ? 1 : 0)) / temperature) };
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    backward(slopes) { // OI-8, OI-9
      const { gradients, into } = gradientsOf({ embeddings: arrays.embeddings });
      found.forEach(({ shares }, i) => {
        if (slopes[i] !== 0) known.forEach((w, j) => addTo(into.embeddings[i], slopes[i] * shares[j], w));
      });
      return gradients;
    },
  };
});

export const update_oim_memory = plain({
  function: 'update_oim_memory',
  inputs: { ...memory, head: { shape: '', kind: 'index', range: '[0, Q)' }, embeddings, labels, mask },
  parameters: {
    momentum: { kind: 'real', default: 0.5, range: '[0, 1]' },
    normalise: { kind: 'bool', default: true },
    unlabelled,
  },
  returns: {
    lookup_table: { shape: 'C D', kind: 'float' },
    queue: { shape: 'Q D', kind: 'float' },
    head: { shape: '', kind: 'integer' },
  },
}, (arrays, options, { Q }) => {
  const { momentum, normalise } = options;
  const copy = (array) => ({ ...array, data: array.data.slice() });
  const lookup_table = copy(arrays.lookup_table), queue = copy(arrays.queue), head = copy(arrays.head);
  const table = rowsOf(lookup_table), places = rowsOf(queue);
  const rows = rowsOf(arrays.embeddings), taking = takingPart(arrays.mask, rows.length);
  let at = Number(head.data[0]);
  rows.forEach((x, i) => { // OI-15: in the order of the batch
    if (!taking[i]) return; // OI-19
    if (nameless(arrays, options, i)) { // OI-17, OI-18, OI-21
      if (Q === 0) return;
      places[at].set(x);
      at = (at + 1) % Q;
      return;
    }
    const row = table[Number(arrays.labels.data[i])];
    row.forEach((v, k) => { row[k] = momentum * v + (1 - momentum) * x[k]; }); // OI-13
    if (normalise) row.set(direction(row).unit); // OI-14, OI-16
  });
  head.data.fill(typeof head.data[0] === 'bigint' ? BigInt(at) : at);
  return { lookup_table, queue, head }; // OI-22
});
