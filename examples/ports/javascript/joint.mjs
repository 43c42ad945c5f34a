// The joint loss (spec/joint.md): cross-entropy, batch-hard triplet loss and center loss of the same rows.

import { batchHard } from './batch_hard.mjs';
import { center } from './center.mjs';
import { loss } from './conventions/functions.mjs';
import { reduce } from './conventions/terms.mjs';
import { crossEntropy } from './cross_entropy.mjs';

export const signature = {
  loss: 'joint_loss',
  inputs: {
    logits: { shape: 'B K', kind: 'float', differentiable: true },
    embeddings: { shape: 'B D', kind: 'float', differentiable: true },
    labels: { shape: 'B', kind: 'label', range: '[0, K)' },
    centers: { shape: 'K D', kind: 'float', differentiable: true },
    mask: { shape: 'B', kind: 'bool', optional: true },
    weights: { shape: 'B', kind: 'weight', optional: true },
  },
  parameters: {
    triplet_weight: { kind: 'real', default: 1, range: '[0, inf)' },
    center_weight: { kind: 'real', default: 5e-4, range: '[0, inf)' },
    triplet_margin: { kind: 'real', default: 0.3, range: '[0, inf)' },
    label_smoothing: { kind: 'real', default: 0.1, range: '[0, 1]' },
  },
};

export const joint_loss = loss(signature, (arrays, options) => {
  const mined = batchHard(arrays, { margin: options.triplet_margin, distance: 'euclidean', floor: 0 });
  const parts = [
    { weight: 1, ...crossEntropy(arrays, options) }, // JO-2
    { weight: options.triplet_weight, ...mined }, // JO-3
    { weight: options.center_weight, ...center(arrays, { factor: 1, floor: 0, ceiling: Infinity }) }, // JO-4
  ];
  const worth = (part) => part.weight * reduce(part, 'mean', arrays.weights).value; // JO-5, JO-10
  return {
    value: parts.reduce((sum, part) => sum + worth(part), 0), // JO-1
    picks: mined.picks,
    backward([cotangent = 1]) { // JO-7
      const total = {};
      for (const part of parts) {
        const { slopes } = reduce(part, 'mean', arrays.weights, [cotangent * part.weight]);
        for (const [name, { shape, data }] of Object.entries(part.backward(slopes))) {
          total[name] = { shape, data: data.map((g, k) => g + (total[name]?.data[k] ?? 0)) };
        }
      }
      return total;
    },
  };
});
