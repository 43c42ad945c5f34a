// The contrastive loss (spec/contrastive.md).

import { count, gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { loss } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { distanceOf, finite } from './distances.mjs';

export const signature = {
  loss: 'contrastive_loss',
  inputs: {
    x1: { shape: '... D', kind: 'float', differentiable: true },
    x2: { shape: '... D', kind: 'float', differentiable: true },
    dissimilar: { shape: '...', kind: 'bool' },
    mask: { shape: '...', kind: 'bool', optional: true },
    weights: { shape: '...', kind: 'weight', optional: true },
  },
  parameters: {
    margin: { kind: 'real', default: 1, range: '[0, inf)' },
    factor: { kind: 'real', default: 0.5, range: '[0, inf)' },
    distance: { kind: 'choice', default: 'p_norm', choices: ['p_norm', 'euclidean', 'squared_euclidean', 'cosine'] },
    p: { kind: 'real', default: 2, range: '[1, inf]', applies_to: 'p_norm' },
    eps: { kind: 'real', default: 0, range: '[0, inf)', applies_to: 'p_norm' },
    eps_at: { kind: 'choice', default: 'difference', choices: ['difference', 'root', 'floor'], applies_to: 'p_norm' },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
  },
};

export const contrastive_loss = loss(signature, ({ x1, x2, dissimilar, mask }, options) => {
  const { margin, factor } = options;
  const shape = dissimilar.shape, taking = takingPart(mask, count(shape));
  const { prepare, measure } = distanceOf(options);
  const left = rowsOf(x1).map(prepare), right = rowsOf(x2).map(prepare);

  const pairs = taking.map((takes, i) => {
    if (!takes) return NOTHING;
    const { value: d, pull } = measure(left[i], right[i]);
    const short = Math.max(0, margin - d); // CO-2: the hinge is squared
    return dissimilar.data[i]
      ? { value: factor * finite(short * short), slope: -2 * factor * short, pull }
      : { value: factor * finite(d * d), slope: 2 * factor * d, pull }; // CO-1, CO-3
  });

  return {
    shape,
    taking,
    terms: pairs.map(({ value }) => value),
    backward(slopes) { // CO-7; CO-8: the distance of coincident rows has none
      const { gradients, into } = gradientsOf({ x1, x2 });
      pairs.forEach(({ slope, pull }, i) => {
        const part = slopes[i] * slope;
        if (Math.abs(part) > 0) pull(part, into.x1[i], into.x2[i]);
      });
      return gradients;
    },
  };
});
