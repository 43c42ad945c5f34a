// The semi-hard triplet loss (spec/semi_hard.md).

import { loss } from './conventions/functions.mjs';
import { tripletTerm } from './conventions/terms.mjs';
import { INPUTS, pairs } from './pairwise.mjs';

export const signature = {
  loss: 'semi_hard_triplet_loss',
  inputs: INPUTS,
  parameters: {
    margin: { kind: 'real', default: 1, range: '[0, inf)' },
    soft_margin: { kind: 'bool', default: false },
    distance: { kind: 'choice', default: 'squared_euclidean', choices: ['euclidean', 'squared_euclidean', 'cosine'] },
    pairwise: { kind: 'choice', default: 'gram', choices: ['gram', 'direct'] },
    max_positives: { kind: 'count', range: '[1, inf)', optional: true },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
  },
};

// The nearest negative that is farther than the positive (SH-1, SH-2), or the farthest (SH-3); of a tie the first (SH-8).
function negativeOf(near, negatives) {
  let beyond, farthest = negatives[0];
  for (const other of negatives) {
    if (other.d > near && (!beyond || other.d < beyond.d)) beyond = other;
    if (other.d > farthest.d) farthest = other;
  }
  return beyond ?? farthest;
}

export const semi_hard_triplet_loss = loss(signature, (arrays, options) => {
  const { anchors, others, positives, negatives, distance, backward } = pairs(arrays, options);
  const triplets = Array(anchors.length * others.length).fill(null);
  anchors.forEach((_, a) => {
    const measured = negatives[a].map((j) => ({ j, d: distance(a, j) }));
    if (measured.length === 0) return; // SH-4
    const unknown = measured.find(({ d }) => Number.isNaN(d)); // SH-10: every negative is compared
    for (const p of positives[a]) {
      const near = distance(a, p), { j: n, d: far } = unknown ?? negativeOf(near, measured);
      const term = tripletTerm(near, far, options); // SH-1, SH-12
      triplets[a * others.length + p] = { anchor: a, positive: p, negative: n, ...term };
    }
  });

  const found = triplets.filter(Boolean);
  return {
    shape: [anchors.length, others.length], // SH-13
    taking: triplets.map((triplet) => triplet !== null),
    terms: triplets.map((triplet) => triplet?.value ?? 0),
    positives: triplets.map((triplet) => Number(triplet?.counted ?? 0)),
    picks: found.map(({ anchor, positive, negative }) => ({ anchor, positive, negative })),
    backward: (slopes) => backward((pull) => found.forEach(({ anchor: a, positive: p, negative: n, slope }) => { // SH-7
      const weight = slopes[a * others.length + p];
      if (weight === 0) return; // also where the term is NaN, and its slope too
      pull(a, p, weight * slope);
      pull(a, n, -weight * slope);
    })),
  };
});
