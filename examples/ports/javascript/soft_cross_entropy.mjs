// The soft cross-entropy loss (spec/soft_cross_entropy.md).

import { rowsOf, zerosLike } from './conventions/arrays.mjs';
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

export const soft_cross_entropy_loss = loss(signature, ({ logits, targets, mask, class_weights }, { label_smoothing }) => {
  const rows = rowsOf(logits), given = rowsOf(targets), taking = takingPart(mask, rows.length), classes = logits.shape[1];
  const classWeight = (k) => class_weights?.data[k] ?? 1;
  const found = rows.map((row, i) => {
    if (!taking[i]) return NOTHING; // CV-8, CV-9
    if (given[i].some(Number.isNaN)) return { value: NaN }; // CV-10, ST-7, ST-20
    const shares = given[i].map((t, k) => classWeight(k) * ((1 - label_smoothing) * t + label_smoothing / classes)); // ST-3, ST-17
    return { shares, ...shared(row, shares) }; // ST-1, ST-5, ST-19
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    backward(slopes) {
      const gradients = { logits: zerosLike(logits), targets: zerosLike(targets) };
      const [into, to] = Object.values(gradients).map(rowsOf);
      found.forEach(({ gradient, shares, costs }, i) => {
        if (slopes[i] === 0) return;
        addTo(into[i], slopes[i], gradient);
        const left = costs.map((cost, k) => (shares[k] === 0 && cost === Infinity ? 0 : cost)); // ST-10
        addTo(to[i], slopes[i] * (1 - label_smoothing), left.map((cost, k) => classWeight(k) * cost)); // ST-6, ST-19
      });
      return gradients;
    },
  };
});
