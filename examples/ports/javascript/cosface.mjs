// The CosFace loss (spec/cosface.md).

import { INPUTS, angular } from './arcface.mjs';
import { loss } from './conventions/functions.mjs';

export const signature = {
  loss: 'cosface_loss',
  inputs: INPUTS,
  parameters: {
    scale: { kind: 'real', default: 64, range: '[0, inf)' },
    margin: { kind: 'real', default: 0.35, range: '[0, inf)' },
    reduction: { kind: 'choice', default: 'mean', choices: ['none', 'sum', 'mean'] },
  },
};

export const cosface_loss = loss(signature, (arrays, { scale, margin }) =>
  angular(arrays, scale, (cosine) => ({ value: cosine - margin, slope: 1 }))); // CF-1, CF-6
