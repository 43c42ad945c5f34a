// Calls the JavaScript port with plain lists: one call a line, {name, inputs, options, seed}, and one answer a line.
// JSON has no infinity and no NaN, which are the strings "inf", "-inf" and "nan" here.

import { createInterface } from 'node:readline';
import { mapValues } from '../../examples/ports/javascript/conventions/arrays.mjs';
import * as port from '../../examples/ports/javascript/index.mjs';

const WORDS = new Map([['inf', Infinity], ['-inf', -Infinity], ['nan', NaN]]);
const numbers = (_, value) => WORDS.get(value) ?? value;
const named = (value) => [...WORDS].find(([, number]) => Object.is(number, value))?.[0];
const words = (_, value) => named(value) ?? value;

// Numbers in [0, 1) that a seed repeats: a linear congruential generator.
function random(seed) {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number(state >> 11n) / 2 ** 53;
  };
}

function answer({ name, inputs, options, seed }) {
  if (name === 'signatures') return mapValues({ ...port }, ({ signature }) => signature);
  try {
    return port[name](inputs, options, seed === undefined ? undefined : random(seed));
  } catch (problem) {
    return { error: `${problem.name}: ${problem.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line, numbers)), words)}\n`);
}
