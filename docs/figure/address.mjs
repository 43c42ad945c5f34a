// A call as a short text for the address, and back: #figure=v1;embeddings=0,0/1,0.5;labels=0,1;margin=0.3;at=embeddings,1
// docs/generate/figure.py writes the same text.

import { LOSSES, rowArrays } from './rows.mjs';

export const START = '#figure=v1;';
const MOST = 64; // rows of an array
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/;

const word = (x) => (x === Infinity ? 'inf' : `${x}`);
const list = (item) => (Array.isArray(item[0]) ? item.map(list).join('/') : item.map((x) => word(Number(x))).join(','));

export function write({ inputs, options, selected }) {
  const arrays = Object.entries(inputs).map(([name, item]) => [name, list(item)]);
  const given = Object.entries(options).map(([name, value]) => [name, word(value)]);
  return START + [...arrays, ...given, ['at', selected.join(',')]].map((pair) => pair.join('=')).join(';');
}

function number(name, text) {
  if (text === 'inf') return Infinity;
  if (!NUMBER.test(text)) throw new TypeError(`${name} holds ${JSON.stringify(text)}; expected a number`);
  return Number(text);
}

const truth = (name, text, no, yes) => {
  if (text !== no && text !== yes) throw new TypeError(`${name} holds ${JSON.stringify(text)}; expected ${no} or ${yes}`);
  return text === yes;
};

function option(name, { kind }, text) {
  if (kind === 'choice') return text;
  return kind === 'bool' ? truth(name, text, 'false', 'true') : number(name, text);
}

function array(name, { kind }, text) {
  if (kind === 'float') return text.split('/').map((row) => row.split(',').map((x) => number(name, x)));
  return text.split(',').map((x) => (kind === 'bool' ? truth(name, x, '0', '1') : number(name, x)));
}

function place(text, inputs, arrays) {
  const [name, i] = text.split(',');
  if (!arrays.includes(name) || !inputs[name][i]) throw new RangeError(`at is ${text}; expected a row of ${arrays}`);
  return [name, Number(i)];
}

// The call of an address; it throws where there is none that can be drawn. Whether the loss takes it, the loss says.
export function read(loss, address) {
  if (!address.startsWith(START)) throw new TypeError(`it begins with ${address.slice(0, 11)}; expected ${START}`);
  const { inputs: rules, parameters } = LOSSES[loss].signature;
  const inputs = {}, options = {}, arrays = rowArrays(loss);
  let selected;
  for (const part of decodeURIComponent(address.slice(START.length)).split(';').filter(Boolean)) {
    const [name, text = ''] = part.split('=');
    if (name === 'at') selected = text;
    else if (Object.hasOwn(rules, name)) inputs[name] = array(name, rules[name], text);
    else if (Object.hasOwn(parameters, name)) options[name] = option(name, parameters[name], text);
    else throw new TypeError(`${name} is unknown; expected an input or an option of ${loss}`);
    if (name.startsWith('candidate')) throw new TypeError(`${name} is given; a second set is not drawn`);
  }
  for (const name of arrays) {
    const rows = inputs[name];
    if (!rows) throw new TypeError(`${name} is missing; expected rows`);
    if (rows.length > MOST) throw new RangeError(`${name} has ${rows.length} rows; expected ${MOST} or fewer`);
    const drawable = rows.flat().every(Number.isFinite) && (rows[0].length === 1 || rows[0].length === 2);
    if (!drawable) throw new RangeError(`${name} has no place in a plane; expected finite rows of one or two features`);
  }
  return { loss, inputs, options, selected: place(selected ?? `${arrays[0]},0`, inputs, arrays) };
}
