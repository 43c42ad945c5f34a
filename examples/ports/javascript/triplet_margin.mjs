// The triplet margin loss (spec/triplet_margin.md).

import { count, gradientsOf, mapValues, rowsOf } from './conventions/arrays.mjs';
import { loss } from './conventions/functions.mjs';
import { NOTHING, takingPart, tripletTerm } from './conventions/terms.mjs';
import { distanceOf } from './distances.mjs';

export const signature = {
  loss: 'triplet_margin_loss',
  inputs: {
    anchor: { shape: '... D', kind: 'float', differentiable: true },
    positive: { shape: '... D', kind: 'float', differentiable: true },
    negative: { shape: '... D', kind: 'float', differentiable: true },
    mask: { shape: '...', kind: 'bool', optional: true },
    weights: { shape: '...', kind: 'weight', optional: true },
  },
  parameters: {
    margin: { kind: 'real', default: 1, range: '[0, inf)' },
    soft_margin: { kind: 'bool', default: false },
    distance: { kind: 'choice', default: 'p_norm', choices: ['p_norm', 'euclidean', 'squared_euclidean', 'cosine'] },
    p: { kind: 'real', default: 2, range: '[1, inf]', applies_to: 'p_norm' },
    eps: { kind: 'real', default: 1e-6, range: '[0, inf)', applies_to: 'p_norm' },
    eps_at: { kind: 'choice', default: 'difference', choices: ['difference', 'root', 'floor'], applies_to: 'p_norm' },
    swap: { kind: 'bool', default: false },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
  },
};

export const triplet_margin_loss = loss(signature, ({ anchor, positive, negative, mask }, options) => {
  const shape = anchor.shape.slice(0, -1), taking = takingPart(mask, count(shape));
  const { prepare, measure } = distanceOf(options);
  const inputs = { anchor, positive, negative };
  const rows = mapValues(inputs, (array) => rowsOf(array).map(prepare));
  const between = (x, y, i) => ({ x, y, ...measure(rows[x][i], rows[y][i]) }); // TM-4: the second row is subtracted

  const triplets = taking.map((takes, i) => {
    if (!takes) return NOTHING;
    const near = between('anchor', 'positive', i), negative = between('anchor', 'negative', i);
    const swapped = options.swap ? between('positive', 'negative', i) : negative;
    const far = swapped.value < negative.value ? swapped : negative; // TM-5, TM-6: strictly
    return { ...tripletTerm(near.value, far.value, options), near, far }; // TM-1, TM-11
  });

  return {
    shape,
    taking,
    terms: triplets.map(({ value }) => value),
    positives: triplets.map(({ counted }) => Number(counted)),
    backward(slopes) { // TM-7
      const { gradients, into } = gradientsOf(inputs);
      triplets.forEach(({ near, far, slope }, i) => {
        const part = slopes[i] * slope;
        if (!(Math.abs(part) > 0)) return;
        near.pull(part, into[near.x][i], into[near.y][i]);
        far.pull(-part, into[far.x][i], into[far.y][i]);
      });
      return gradients;
    },
  };
});
