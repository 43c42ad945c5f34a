// A function of the catalogue: the checks of its signature, its formula, and results in the form of the call.

import { check } from './arguments.mjs';
import { isArray, write } from './arrays.mjs';
import { reduce } from './terms.mjs';

const nestedIn = (inputs) => !Object.values(inputs).some(isArray);
const flat = (cotangent) => (Array.isArray(cotangent) ? cotangent.flat(Infinity) : cotangent?.data ?? [cotangent]);
const namely = (arrays, make) => Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, make(name, array)]));

// loss(inputs, options, cotangent) returns { value, gradients }, and the picks of a loss that mines. The gradients are those
// of the sum of cotangent times value, where a cotangent that is left out is ones. The formula of a loss returns its terms as
// conventions/terms.mjs reduces them, their shape, and backward(slopes), the gradients where the terms have these slopes.
export function loss(signature, formula) {
  const call = (inputs, given = {}, cotangent = undefined) => {
    const { arrays, options } = check(signature, inputs, given);
    const { shape, backward, picks, ...found } = formula(arrays, options);
    const ones = flat(cotangent), nested = nestedIn(inputs);
    const { value, slopes } = found.terms ? reduce(found, options.reduction, arrays.weights, ones) : { ...found, slopes: ones };
    return {
      value: options.reduction === 'none' ? write({ dtype: 'float64', shape, data: value }, nested) : value,
      gradients: namely(backward(slopes), (name, { data }) => write({ ...arrays[name], data }, nested)),
      ...(picks && { picks }),
    };
  };
  return Object.assign(call, { signature });
}

// A function that is no loss returns its arrays under the names of the page, and its gradients where it has any.
// Those that draw take their randomness as the last argument: rng() gives the next number in [0, 1), as Math.random does.
export function plain(signature, formula) {
  const call = (inputs, given = {}, rng = undefined) => {
    const { arrays, options, axes } = check(signature, inputs, given);
    if (signature.random && typeof rng !== 'function') { // MI-22
      throw new TypeError(`rng is ${rng}; expected a function that returns numbers in [0, 1)`);
    }
    const { gradients, ...results } = formula(arrays, options, axes, rng);
    const nested = nestedIn(inputs), out = (_, array) => write(array, nested);
    return {
      ...namely(results, out),
      ...(gradients && { gradients: namely(gradients, (name, { data }) => write({ ...arrays[name], data }, nested)) }),
    };
  };
  return Object.assign(call, { signature });
}

// The dtype of the arithmetic, as far as a result shows it (CV-18).
export const floatOf = (...arrays) => (arrays.some(({ dtype }) => dtype === 'float64') ? 'float64' : 'float32');
