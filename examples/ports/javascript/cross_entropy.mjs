// The cross-entropy loss (spec/cross_entropy.md).

import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { loss } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { addTo, finite } from './distances.mjs';

export const signature = {
  loss: 'cross_entropy_loss',
  inputs: {
    logits: { shape: 'B K', kind: 'float', differentiable: true },
    labels: { shape: 'B', kind: 'label', range: '[0, K)' },
    mask: { shape: 'B', kind: 'bool', optional: true },
    weights: { shape: 'B', kind: 'weight', optional: true },
    class_weights: { shape: 'K', kind: 'weight', optional: true },
  },
  parameters: {
    label_smoothing: { kind: 'real', default: 0, range: '[0, 1]' },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

// The softmax p, what each class costs, which is its negative logarithm, and the logarithm of the sum: CE-1, CE-3.
export function softmax(logits) {
  const top = logits.reduce((most, z) => Math.max(most, z), -Infinity);
  const parts = logits.map((z) => Math.exp(z - top)), sum = parts.reduce((total, x) => total + x, 0);
  const costs = logits.map((z) => (z === -Infinity ? Infinity : finite(top - z) + Math.log(sum)));
  return { costs, p: parts.map((x) => x / sum), logSum: top + Math.log(sum) };
}

// A term with the given shares of the classes, and its gradient: CE-4, CE-13, CE-15. A class without a share and with the
// logit -inf is left out (CE-7, CE-8, CE-16); NaN among the logits comes first (CV-10).
export function shared(logits, shares) {
  const { costs, p } = softmax(logits);
  const counts = (cost, k) => shares[k] !== 0 || Number.isNaN(cost);
  const value = costs.reduce((sum, cost, k) => (counts(cost, k) ? sum + shares[k] * cost : sum), 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  return { value, costs, gradient: p.map((pk, k) => total * pk - shares[k]) };
}

export function crossEntropy({ logits, labels, mask, class_weights }, { label_smoothing }) {
  const rows = rowsOf(logits), taking = takingPart(mask, rows.length), classes = logits.shape[1];
  const classWeight = (k) => class_weights?.data[k] ?? 1;
  const found = rows.map((row, i) => {
    if (!taking[i]) return NOTHING;
    const label = Number(labels.data[i]);
    const target = (k) => (k === label ? 1 - label_smoothing : 0) + label_smoothing / classes; // CE-2, CE-5
    return { label, ...shared(row, row.map((_, k) => classWeight(k) * target(k))) };
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    counts: found.map(({ label }) => classWeight(label)), // CE-14
    backward(slopes) {
      const { gradients, into } = gradientsOf({ logits });
      found.forEach(({ gradient }, i) => {
        if (slopes[i] !== 0) addTo(into.logits[i], slopes[i], gradient);
      });
      return gradients;
    },
  };
}

export const cross_entropy_loss = loss(signature, crossEntropy);
