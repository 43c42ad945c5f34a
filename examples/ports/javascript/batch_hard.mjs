// The batch-hard triplet loss (spec/batch_hard.md).

import { loss } from './conventions/functions.mjs';
import { tripletTerm } from './conventions/terms.mjs';
import { INPUTS, pairs } from './pairwise.mjs';

export const signature = {
  loss: 'batch_hard_triplet_loss',
  inputs: INPUTS,
  parameters: {
    margin: { kind: 'real', default: 0.3, range: '[0, inf)' },
    soft_margin: { kind: 'bool', default: false },
    distance: { kind: 'choice', default: 'euclidean', choices: ['euclidean', 'squared_euclidean', 'cosine'] },
    floor: { kind: 'real', default: 0, range: '[0, inf)' },
    include_self: { kind: 'bool', default: false },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
  },
};

// The candidate whose distance beats the others: of those that tie the one with the lowest index (BH-8), NaN before all.
function extreme(candidates, distance, beats) {
  let best;
  for (const j of candidates) {
    const d = distance(j);
    if (Number.isNaN(d)) return { j, d }; // PW-5
    if (best === undefined || beats(d, best.d)) best = { j, d };
  }
  return best;
}

export function batchHard(arrays, options) {
  const { anchors, positives, negatives, distance, backward } = pairs(arrays, options);
  const triplets = anchors.map((_, a) => {
    const hardest = extreme(positives[a], (j) => distance(a, j), (d, best) => d > best);
    const nearest = extreme(negatives[a], (j) => distance(a, j), (d, best) => d < best);
    if (!hardest || !nearest) return null; // BH-2
    return { anchor: a, positive: hardest.j, negative: nearest.j, ...tripletTerm(hardest.d, nearest.d, options) }; // BH-1
  });

  return {
    shape: [anchors.length],
    taking: triplets.map((triplet) => triplet !== null),
    terms: triplets.map((triplet) => triplet?.value ?? 0),
    positives: triplets.map((triplet) => Number(triplet?.counted ?? 0)),
    picks: triplets.filter(Boolean).map(({ anchor, positive, negative }) => ({ anchor, positive, negative })),
    backward: (slopes) => backward((pull) => triplets.forEach((triplet, a) => { // BH-7
      if (!triplet || slopes[a] === 0) return;
      pull(a, triplet.positive, slopes[a] * triplet.slope);
      pull(a, triplet.negative, -slopes[a] * triplet.slope);
    })),
  };
}

export const batch_hard_triplet_loss = loss(signature, batchHard);
