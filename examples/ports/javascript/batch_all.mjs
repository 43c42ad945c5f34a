// The batch-all triplet loss, and the fraction of its triplets that are active (spec/batch_all.md).

import { floatOf, loss, plain } from './conventions/functions.mjs';
import { INPUTS, pairs } from './pairwise.mjs';

const REDUCTIONS = ['none', 'sum', 'mean', 'mean_nonzero'];
const mined = {
  margin: { kind: 'real', default: 1, range: '[0, inf)' },
  distance: { kind: 'choice', default: 'euclidean', choices: ['euclidean', 'squared_euclidean', 'cosine'] },
  pairwise: { kind: 'choice', default: 'gram', choices: ['gram', 'direct'] },
  max_positives: { kind: 'count', range: '[1, inf)', optional: true },
};

export const signature = {
  loss: 'batch_all_triplet_loss',
  inputs: INPUTS,
  parameters: { ...mined, reduction: { kind: 'choice', default: 'mean', choices: REDUCTIONS } },
};

// The triplets of an anchor: their sum, how many there are, how many are active, and in how many each candidate is.
function tripletsOf(a, { positives, negatives, distance }, margin) {
  const measured = (j) => ({ j, d: distance(a, j), active: 0 });
  const near = positives[a].map(measured), far = negatives[a].map(measured), all = near.length * far.length;
  const unknown = all > 0 && [...near, ...far].some(({ d }) => Number.isNaN(d));
  if (unknown) return { near, far, sum: NaN, all, active: all }; // BA-4, BA-7
  let sum = 0, active = 0;
  for (const p of near) {
    for (const n of far) {
      const z = margin + p.d - n.d;
      if (!(z > 0)) continue; // BA-6
      sum += z; // BA-1
      active += 1;
      p.active += 1; // BA-5
      n.active -= 1;
    }
  }
  return { near, far, sum, all, active };
}

function batchAll(arrays, options) {
  const batch = pairs(arrays, options);
  const found = batch.anchors.map((_, a) => tripletsOf(a, batch, options.margin));
  return {
    shape: [found.length],
    taking: batch.taking,
    terms: found.map(({ sum }) => sum),
    counts: found.map(({ all }) => all), // BA-3, BA-9
    positives: found.map(({ active }) => active), // BA-4
    backward: (slopes) => batch.backward((pull) => found.forEach(({ near, far }, a) => {
      for (const { j, active } of [...near, ...far]) pull(a, j, slopes[a] * active);
    })),
  };
}

export const batch_all_triplet_loss = loss(signature, batchAll);

export const batch_all_active_fraction = plain({
  function: 'batch_all_active_fraction',
  inputs: { embeddings: { shape: 'B D', kind: 'float' }, labels: INPUTS.labels, mask: INPUTS.mask },
  parameters: mined,
  returns: { fraction: { shape: '', kind: 'float' } },
}, (arrays, options) => {
  const { terms, counts, positives } = batchAll(arrays, options);
  const [all, active] = [counts, positives].map((numbers) => numbers.reduce((sum, x) => sum + x, 0)); // BA-15
  const fraction = terms.some(Number.isNaN) ? NaN : active / (all || 1); // BA-10, BA-12, BA-13
  return { fraction: { dtype: floatOf(arrays.embeddings), shape: [], data: [fraction] } };
});
