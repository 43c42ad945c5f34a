// The center loss and the update of the centers (spec/center.md).

import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { loss, plain } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { distanceOf } from './distances.mjs';

const batch = {
  embeddings: { shape: 'B D', kind: 'float', differentiable: true },
  labels: { shape: 'B', kind: 'label', range: '[0, C)' },
};
const centers = { shape: 'C D', kind: 'float', differentiable: true };
const mask = { shape: 'B', kind: 'bool', optional: true };

export const signature = {
  loss: 'center_loss',
  inputs: { ...batch, centers, mask, weights: { shape: 'B', kind: 'weight', optional: true } },
  parameters: {
    factor: { kind: 'real', default: 0.5, range: '[0, inf)' },
    floor: { kind: 'real', default: 0, range: '[0, inf)' },
    ceiling: { kind: 'real', default: Infinity, range: '[floor, inf]' },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

export function center(arrays, { factor, floor, ceiling }) {
  const { embeddings, labels } = arrays;
  const { measure } = distanceOf({ distance: 'squared_euclidean' }); // CN-5
  const rows = rowsOf(embeddings), table = rowsOf(arrays.centers);
  const taking = takingPart(arrays.mask, rows.length);
  const found = rows.map((row, i) => {
    if (!taking[i]) return NOTHING; // CN-6
    const { value: square, pull } = measure(row, table[Number(labels.data[i])]); // CN-1, CN-3
    const free = square > floor && square < ceiling; // CN-9
    return { value: factor * Math.min(Math.max(square, floor), ceiling), slope: free ? factor : 0, pull }; // CN-2
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    backward(slopes) { // CN-7, CN-8
      const { gradients, into } = gradientsOf({ embeddings, centers: arrays.centers });
      found.forEach(({ slope, pull }, i) => {
        const part = slopes[i] * slope;
        if (part !== 0) pull(part, into.embeddings[i], into.centers[Number(labels.data[i])]);
      });
      return gradients;
    },
  };
}

export const center_loss = loss(signature, center);

export const update_centers = plain({
  function: 'update_centers',
  inputs: { centers, ...batch, mask },
  parameters: { alpha: { kind: 'real', default: 0.5, range: '[0, 1]' } },
  returns: { centers: { shape: 'C D', kind: 'float' } },
}, (arrays, { alpha }) => {
  const rows = rowsOf(arrays.embeddings), old = rowsOf(arrays.centers), labels = arrays.labels.data;
  const taking = takingPart(arrays.mask, rows.length);
  const data = Float64Array.from(arrays.centers.data), moved = rowsOf({ ...arrays.centers, data });
  old.forEach((row, j) => {
    const mine = rows.filter((_, i) => taking[i] && Number(labels[i]) === j); // CN-13
    if (mine.length === 0) return; // CN-12
    row.forEach((c, k) => { // CN-11
      moved[j][k] = c + alpha * mine.reduce((sum, x) => sum + (x[k] - c), 0) / (1 + mine.length);
    });
  });
  return { centers: { ...arrays.centers, data } }; // CN-16
});
