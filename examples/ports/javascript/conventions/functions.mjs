// A function of the catalogue: the checks of its signature, its formula, and results in the form of the call.

import { check, must } from './arguments.mjs';
import { isArray, mapValues, write } from './arrays.mjs';
import { reduce } from './terms.mjs';

const nestedIn = (inputs) => !Object.values(inputs).some(isArray);
const flat = (cotangent) => (Array.isArray(cotangent) ? cotangent.flat(Infinity) : cotangent?.data ?? [cotangent]);

// f(inputs, options, cotangent) of a loss returns { value, gradients }, and the picks of one that mines. The gradients
// are those of the sum of cotangent times value, where a cotangent that is left out is ones. Its formula returns its terms
// as `reduce` takes them, their shape, and backward(slopes), the gradients where these are the derivatives by the terms.
export function loss(signature, formula) {
  const call = (inputs, given = {}, cotangent = undefined) => {
    const { arrays, options } = check(signature, inputs, given);
    const { shape, backward, picks, ...found } = formula(arrays, options);
    const none = options.reduction === 'none', nested = nestedIn(inputs), along = flat(cotangent);
    const expected = none ? found.terms.length : 1;
    must(cotangent === undefined || along.length === expected, 'cotangent', `${along.length} numbers`, `${expected}`);
    const whole = { value: found.value, slopes: along }; // of a loss that has one value and no terms
    const { value, slopes } = found.terms ? reduce(found, options.reduction, arrays.weights, along) : whole;
    return {
      value: none ? write({ dtype: 'float64', shape, data: value }, nested) : value,
      gradients: mapValues(backward(slopes), ({ data }, name) => write({ ...arrays[name], data }, nested)),
      ...(picks && { picks }),
    };
  };
  return Object.assign(call, { signature });
}

// A function that is no loss returns its arrays under the names of the page, and its gradients where it has any. One that
// draws takes its randomness as the last argument: rng() gives the next number of [0, 1), as Math.random does.
export function plain(signature, formula) {
  const call = (inputs, given = {}, rng = undefined) => {
    const { arrays, options, axes } = check(signature, inputs, given);
    if (signature.random && typeof rng !== 'function') { // MI-22
      throw new TypeError(`rng is ${rng}; expected a function that returns numbers in [0, 1)`);
    }
    const { gradients, ...results } = formula(arrays, options, axes, rng);
    const nested = nestedIn(inputs), found = mapValues(results, (array) => write(array, nested));
    if (!gradients) return found;
    return { ...found, gradients: mapValues(gradients, ({ data }, name) => write({ ...arrays[name], data }, nested)) };
  };
  return Object.assign(call, { signature });
}

// The dtype of the arithmetic, as far as a result shows it (CV-18).
export const floatOf = (...arrays) => (arrays.some(({ dtype }) => dtype === 'float64') ? 'float64' : 'float32');
