// The port as a program of the protocol (conformance/protocol.md), for Node 20:
// lossproof certify --command "node examples/ports/javascript/protocol.mjs"

import { createInterface } from 'node:readline';
import { FLOATS, INTEGERS, TYPES, mapValues } from './conventions/arrays.mjs';
import * as functions from './index.mjs';

const NUMBERS = new Map([['inf', Infinity], ['-inf', -Infinity], ['nan', NaN]]); // which JSON does not have
const judged = Object.entries(functions).filter(([, { signature }]) => !signature.random);
const offered = (kind) => Object.fromEntries(judged.filter(([, { signature }]) => kind in signature));
const everything = (offer) => mapValues(offer, () => ({ accepts: null }));

const HELLO = {
  type: 'hello', protocol: 1, name: 'JavaScript port', version: '1.0',
  framework: 'node', framework_version: process.versions.node, device: 'cpu',
  dtypes: Object.keys(FLOATS), integers: Object.keys(INTEGERS), modes: ['eager'], orders: [0, 1],
  losses: everything(offered('loss')), functions: everything(offered('function')),
};

function decode({ dtype, shape, data }) {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
  return { dtype, shape, data: new TYPES[dtype](bytes.buffer) };
}

function encode({ dtype, shape, data }) {
  return { dtype, shape, data: Buffer.from(data.buffer).toString('base64') };
}

function answer({ loss, inputs, parameters, order, cotangent, results }) {
  const f = functions[loss], unread = Object.values(inputs).find(({ dtype }) => !(dtype in TYPES));
  if (!f) return { unsupported: `no ${loss}` };
  if (unread) return { unsupported: `no ${unread.dtype}` };
  try {
    const options = mapValues(parameters, (value) => NUMBERS.get(value) ?? value);
    const along = cotangent && !results ? decode(cotangent) : undefined;
    const { gradients, ...found } = f(mapValues(inputs, decode), options, along);
    const scalar = (value) => ({ dtype: 'float64', shape: [], data: Float64Array.of(value) });
    const own = results
      ? { results: Object.keys(f.signature.returns).map((name) => encode(found[name])) }
      : { value: encode(typeof found.value === 'number' ? scalar(found.value) : found.value) };
    return order > 0 && gradients ? { ...own, gradients: mapValues(gradients, encode) } : own;
  } catch ({ name, message }) {
    return { error: { type: name, message } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.type === 'bye') break;
  const reply = message.type === 'hello' ? HELLO : { type: 'answer', id: message.id, ...answer(message) };
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.stdin.destroy();
