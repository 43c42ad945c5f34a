// The ArcFace loss, and its logits without a margin (spec/arcface.md).

import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { floatOf, loss, plain } from './conventions/functions.mjs';
import { NOTHING, takingPart } from './conventions/terms.mjs';
import { softmax } from './cross_entropy.mjs';
import { cosineOf, direction, pullCosine } from './distances.mjs';

const embeddings = { shape: 'B D', kind: 'float', differentiable: true };
const class_weights = { shape: 'C D', kind: 'float', differentiable: true };

export const INPUTS = {
  embeddings,
  labels: { shape: 'B', kind: 'label', range: '[0, C)' },
  class_weights,
  mask: { shape: 'B', kind: 'bool', optional: true },
  weights: { shape: 'B', kind: 'weight', optional: true },
};

export const signature = {
  loss: 'arcface_loss',
  inputs: INPUTS,
  parameters: {
    scale: { kind: 'real', default: 64, range: '[0, inf)' },
    margin: { kind: 'real', default: 0.5, range: '[0, 3.141592653589793]' },
    beyond_pi: { kind: 'choice', default: 'keep', choices: ['keep', 'linear', 'continuous'] },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

const directions = (array) => rowsOf(array).map(direction); // AF-2, CF-2

// The cross-entropy of `scale` times the cosines, which ArcFace and CosFace share. labelled(cosine, x, w), of the directions
// of a row and of its class weight, is what the margin makes of the label's cosine, and the derivative of that.
export function angular(arrays, scale, labelled) {
  const { embeddings, class_weights } = arrays;
  const rows = directions(embeddings), classes = directions(class_weights);
  const taking = takingPart(arrays.mask, rows.length);
  const found = rows.map((x, i) => {
    if (!taking[i]) return NOTHING;
    const y = Number(arrays.labels.data[i]), cosines = classes.map((w) => cosineOf(x, w)); // AF-9, CF-4
    const own = labelled(cosines[y], x, classes[y]);
    const { costs, p } = softmax(cosines.map((cosine, j) => scale * (j === y ? own.value : cosine))); // AF-1, CF-1
    const slopes = p.map((pj, j) => scale * (j === y ? (pj - 1) * own.slope : pj)); // AF-11, CF-6
    return { value: costs[y], cosines, slopes };
  });
  return {
    shape: [rows.length],
    taking,
    terms: found.map(({ value }) => value),
    backward(weights) {
      const { gradients, into } = gradientsOf({ embeddings, class_weights });
      found.forEach(({ cosines, slopes }, i) => {
        if (weights[i] === 0) return;
        classes.forEach((w, j) => { // AF-14, CF-8
          pullCosine(weights[i] * slopes[j], cosines[j], rows[i], w, into.embeddings[i], into.class_weights[j]);
        });
      });
      return gradients;
    },
  };
}

export const arcface_loss = loss(signature, (arrays, { scale, margin, beyond_pi }) => {
  const [cosM, sinM] = [Math.cos(margin), Math.sin(margin)];
  return angular(arrays, scale, (cosine, x, w) => {
    if (beyond_pi !== 'keep' && cosine < -cosM) { // AF-8, AF-12
      return { value: beyond_pi === 'linear' ? cosine - margin * sinM : cosine + cosM - 1, slope: 1 }; // AF-6, AF-7
    }
    const zero = x.root === 0 || w.root === 0;
    const sine = zero ? 1 : direction(x.unit.map((xk, k) => xk - cosine * w.unit[k])).norm; // AF-4, AF-9
    const turned = sine === 0 ? 0 : cosine / sine; // AF-13
    return { value: cosine * cosM - sine * sinM, slope: cosM + turned * sinM }; // AF-5, AF-11
  });
});

export const arcface_logits = plain({
  function: 'arcface_logits',
  inputs: { embeddings, class_weights },
  parameters: { scale: { kind: 'real', default: 64, range: '[0, inf)' } },
  returns: { logits: { shape: 'B C', kind: 'float' } },
}, (arrays, { scale }) => {
  const rows = directions(arrays.embeddings), classes = directions(arrays.class_weights);
  const { gradients, into } = gradientsOf(arrays);
  const data = rows.flatMap((x, i) => classes.map((w, j) => {
    const cosine = cosineOf(x, w); // AF-18, AF-19
    pullCosine(scale, cosine, x, w, into.embeddings[i], into.class_weights[j]); // AF-20
    return scale * cosine;
  }));
  const dtype = floatOf(arrays.embeddings, arrays.class_weights); // AF-21
  return { logits: { dtype, shape: [rows.length, classes.length], data }, gradients };
});
