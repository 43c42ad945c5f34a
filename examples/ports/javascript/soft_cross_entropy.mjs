// The soft cross-entropy loss (spec/soft_cross_entropy.md).

import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { loss } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { shared } from './cross_entropy.mjs';
import { addTo } from './distances.mjs';

export const signature = {
  loss: 'soft_cross_entropy_loss',
  inputs: {
    logits: { shape: 'B K', kind: 'float', differentiable: true },
    targets: { shape: 'B K', kind: 'float', differentiable: true, range: '[0, inf]' },
    mask: { shape: 'B', kind: 'bool', optional: true },
    weights: { shape: 'B', kind: 'weight', optional: true },
    class_weights: { shape: 'K', kind: 'weight', optional: true },
  },
  parameters: {
    label_smoothing: { kind: 'real', default: 0, range: '[0, 1]' },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

export const soft_cross_entropy_loss = loss(signature, ({ logits, targets, mask, class_weights }, options) => {
  const rows = rowsOf(logits), given = rowsOf(targets), taking = takingPart(mask, rows.length);
  const classWeight = (k) => class_weights?.data[k] ?? 1;
  const kept = 1 - options.label_smoothing, added = options.label_smoothing / logits.shape[1];
  const found = rows.map((row, i) => {
    if (!taking[i]) return NOTHING;
    if (given[i].some(Number.isNaN)) return { value: NaN }; // CV-10, ST-7, ST-20
    const shares = given[i].map((t, k) => classWeight(k) * (kept * t + added)); // ST-3, ST-17
    return { shares, ...shared(row, shares) }; // ST-1, ST-5, ST-19
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    backward(slopes) {
      const { gradients, into } = gradientsOf({ logits, targets });
      found.forEach(({ gradient, shares, costs }, i) => {
        if (slopes[i] === 0) return;
        addTo(into.logits[i], slopes[i], gradient);
        const left = costs.map((cost, k) => (shares[k] === 0 && cost === Infinity ? 0 : cost)); // ST-10
        addTo(into.targets[i], slopes[i] * kept, left.map((cost, k) => classWeight(k) * cost)); // ST-6, ST-19
      });
      return gradients;
    },
  };
});
