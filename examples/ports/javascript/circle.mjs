// The circle loss (spec/circle.md).

import { loss } from './conventions/functions.mjs';
import { softplus } from './conventions/terms.mjs';
import { softmax } from './cross_entropy.mjs';
import { INPUTS, pairs } from './pairwise.mjs';

export const signature = {
  loss: 'circle_loss',
  inputs: INPUTS,
  parameters: {
    margin: { kind: 'real', default: 0.25, range: '[-1, 1]' },
    gamma: { kind: 'real', default: 256, range: '[0, inf)' },
    detach_weights: { kind: 'bool', default: true },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean', 'mean_nonzero'] },
  },
};

export const circle_loss = loss(signature, (arrays, { margin, gamma, detach_weights }) => {
  const batch = pairs(arrays, { distance: 'cosine' });
  // The exponent of a pair and its derivative by the cosine s: CI-4, CI-10, CI-11.
  const negative = (s) => {
    const alpha = Math.max(0, s + margin), moves = !detach_weights && s > -margin;
    return { exponent: gamma * alpha * (s - margin), slope: gamma * (alpha + (moves ? s - margin : 0)) };
  };
  const positive = (s) => {
    const alpha = Math.max(0, 1 + margin - s), moves = !detach_weights && s < 1 + margin;
    return { exponent: -gamma * alpha * (s - 1 + margin), slope: -gamma * (alpha - (moves ? s - 1 + margin : 0)) };
  };

  const found = batch.anchors.map(({ root }, a) => {
    const sides = [[batch.negatives[a], negative], [batch.positives[a], positive]].map(([indices, of]) =>
      indices.map((j) => ({ j, ...of(1 - batch.distance(a, j)) })));
    const unknown = Number.isNaN(root) || sides.flat().some(({ exponent }) => Number.isNaN(exponent));
    if (unknown) return { value: NaN, counted: true, pairs: [] }; // CI-9, CI-17
    if (sides.some(({ length }) => length === 0)) return { value: 0, counted: false, pairs: [] }; // CI-6, CI-13
    const sums = sides.map((side) => softmax(side.map(({ exponent }) => exponent))); // CI-7
    const { value, slope: sigma } = softplus(sums[0].logSum + sums[1].logSum); // CI-1, CI-5
    const slopes = sides.flatMap((side, which) =>
      side.map(({ j, slope }, i) => ({ j, slope: sigma * sums[which].p[i] * slope })));
    return { value, counted: true, pairs: slopes };
  });

  return {
    shape: [found.length],
    taking: batch.taking,
    terms: found.map(({ value }) => value),
    positives: found.map(({ counted }) => Number(counted)), // CI-8
    backward: (slopes) => batch.backward((pull) => found.forEach(({ pairs: each }, a) => { // CI-12; s = 1 - d
      for (const { j, slope } of each) pull(a, j, -slopes[a] * slope);
    })),
  };
});
