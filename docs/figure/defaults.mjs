// The call that a figure begins with, by the arrays that a loss takes. Options are those of the page.

import { LOSSES } from './rows.mjs';

const batch = {
  embeddings: [[0.2, -0.1], [1.2, 0.3], [0.6, 1.1], [1.6, 1.2], [-0.8, 0.9], [-0.9, -0.7]],
  labels: [0, 0, 0, 1, 1, 2],
};
const few = { embeddings: [[1.1, 0.2], [0.2, 0.9], [-0.3, 1], [-1, -0.2], [-0.2, -0.9]], labels: [0, 0, 1, 1, 2] };
const table = [[1, 0.5], [-0.5, 1.1], [-0.5, -0.8]];
const OF = {
  anchor: {
    anchor: [[0, 0], [2.2, 1]],
    positive: [[0.8, 0.5], [2.8, 1.3]],
    negative: [[1, -0.6], [3.6, -0.4]],
  },
  x1: { x1: [[0, 0], [1.6, 0.8]], x2: [[0.7, 0.5], [2.1, 0.4]], dissimilar: [false, true] },
  centers: { ...few, centers: table },
  class_weights: { ...few, class_weights: table },
  lookup_table: { ...few, labels: [0, 0, 1, 1, -1], lookup_table: table, queue: [[0.4, -0.8], [-1, 0]] },
};

export function defaultCall(loss) {
  const inputs = LOSSES[loss].signature.inputs;
  const of = Object.keys(OF).find((name) => inputs[name]);
  const own = structuredClone(of ? OF[of] : batch);
  return { loss, inputs: own, options: {}, selected: [Object.keys(own)[0], 0] };
}
