// The checks of a call, before any arithmetic: CV-24 to CV-38, CV-45 and CV-46, read from the signature of a page.

import { FLOATS, INTEGERS, count, read } from './arrays.mjs';

const DTYPES = { float: FLOATS, weight: FLOATS, bool: { bool: 1 }, label: INTEGERS, index: INTEGERS };
const WIDER = ['centers', 'class_weights', 'lookup_table', 'queue', 'candidates', 'logits', 'targets', 'weights'];
const NEVER_EMPTY = ['D', 'C', 'K']; // CV-25, CV-34

// Exact, also where one of them is a BigInt and the other a number: CV-31, CV-32.
export const sameLabel = (one, other) => one == other;

export function must(holds, name, value, expected) {
  if (!holds) throw new RangeError(`${name} is ${value}; expected ${expected}`);
}

// The arrays, the options with their defaults, and the lengths of the axes.
export function check({ inputs: rules, parameters = {} }, inputs, given) {
  const arrays = readInputs(rules, inputs);
  const axes = checkShapes(rules, arrays);
  checkDtypes(rules, arrays);
  const options = checkOptions(parameters, given, axes);
  checkNumbers(rules, arrays, options, axes);
  return { arrays, options, axes };
}

function checkNames(what, given, names) { // CV-38
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`${unknown} is no ${what}; expected one of ${names.join(', ')}`);
}

function readInputs(rules, inputs) {
  checkNames('input', inputs, Object.keys(rules));
  const arrays = {};
  for (const [name, { kind, optional }] of Object.entries(rules)) {
    if (inputs[name] === undefined) {
      if (!optional) throw new TypeError(`${name} is missing; expected an array`); // CV-38
      continue;
    }
    arrays[name] = read(name, inputs[name], kind);
    const dtypes = DTYPES[kind];
    must(arrays[name].dtype in dtypes, name, arrays[name].dtype, Object.keys(dtypes)); // CV-26, CV-29, CV-31
  }
  return arrays;
}

function checkShapes(rules, arrays) { // CV-24, CV-25, CV-30, CV-34, CV-45
  const axes = {};
  for (const [name, { shape }] of Object.entries(arrays)) {
    const rule = rules[name], letters = rule.shape.split(' ').filter(Boolean);
    if (rule.scalar && shape.length === 0) continue; // VE-6
    const open = letters[0] === '...', batch = shape.length - letters.length + 1; // TM-2: any axes, and then the others
    const expected = `shape (${rule.shape}) with ${JSON.stringify(axes)}`;
    must(open ? batch >= 0 : shape.length === letters.length, name, `of shape [${shape}]`, expected);
    const lengths = open ? [shape.slice(0, batch), ...shape.slice(batch)] : shape;
    letters.forEach((letter, i) => {
      axes[letter] ??= lengths[i];
      must(`${axes[letter]}` === `${lengths[i]}`, name, `of shape [${shape}]`, expected);
      must(lengths[i] !== 0 || !NEVER_EMPTY.includes(letter), name, `of shape [${shape}]`, `${letter} of 1 or more`);
    });
  }
  return axes;
}

function checkDtypes(rules, arrays) { // CV-26, CV-45
  const floats = Object.keys(arrays).filter((name) => DTYPES[rules[name].kind] === FLOATS);
  const first = ['embeddings', 'logits', floats[0]].find((name) => floats.includes(name));
  for (const name of floats) {
    const [own, base] = [name, first].map((of) => Object.keys(FLOATS).indexOf(arrays[of].dtype));
    const wide = WIDER.includes(name);
    const expected = `${arrays[first].dtype}${wide ? ' or wider' : ''}, as ${first}`;
    must(wide ? own >= base : own === base, name, arrays[name].dtype, expected);
  }
}

// Where a number may be: '[0, inf)', 'outside [0, C)', '[floor, inf]'. An end is a number, an axis or another option.
function within(range, ends) {
  const [, outside, open, low, high, close] = /^(outside )?([[(])(\S+), (\S+)([\])])$/.exec(range);
  const [from, to] = [low, high].map((end) => ends[end] ?? Number(end.replace('inf', 'Infinity')));
  const inside = (x) => (open === '[' ? x >= from : x > from) && (close === ']' ? x <= to : x < to);
  return outside ? (x) => !inside(x) : inside;
}

function checkOptions(rules, given, axes) {
  checkNames('option', given, Object.keys(rules));
  const options = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value = given[name] === undefined ? rule.default : given[name];
    options[name] = value;
    if (value === undefined && rule.optional) continue;
    checkKind(name, rule, value, { ...axes, ...options });
    if (rule.applies_to && options.distance !== rule.applies_to) { // DI-21
      must(value === rule.default, name, value, `its default with distance ${options.distance}`);
    }
  }
  if (options.soft_margin) { // TM-11, BH-4, SH-12
    must(options.margin === rules.margin.default, 'margin', options.margin, 'its default with soft_margin');
  }
  return options;
}

function checkKind(name, { kind, choices, range }, value, ends) { // CV-27, CV-28, CV-37
  const typed = `${JSON.stringify(value) ?? 'not given'} (a ${typeof value})`;
  if (kind === 'bool') return must(typeof value === 'boolean', name, typed, 'true or false');
  if (kind === 'choice') return must(choices.includes(value), name, typed, `one of ${choices.join(', ')}`);
  if (kind === 'choices') {
    const words = Array.isArray(value) ? new Set(value) : new Set();
    return must(words.size > 0 && words.size === value.length && [...words].every((word) => choices.includes(word)),
      name, typed, `one or more of ${choices.join(', ')}`);
  }
  const number = typeof value === 'number' && (kind === 'real' ? !Number.isNaN(value) : Number.isInteger(value));
  return must(number && within(range, ends)(value), name, number ? value : typed, `${kind} in ${range}`);
}

// Labels, indices, weights and targets, but for those of units that take no part: CV-33, CV-46, PW-14, ST-15.
function checkNumbers(rules, arrays, options, axes) {
  const ends = { ...axes, ...options, ...(axes.Q === 0 && { Q: 1 }) }; // OI-21: the head of a queue without rows is 0
  const first = ({ shape }) => shape.split(' ')[0];
  const word = rules.labels?.or, nameless = (unit) => word && sameLabel(arrays.labels.data[unit], options[word]);
  const looked = (unit) => !(arrays.mask && !arrays.mask.data[unit]) && !nameless(unit); // OI-24
  for (const [name, { data }] of Object.entries(arrays)) {
    const rule = rules[name], range = rule.range ?? (rule.kind === 'weight' ? '[0, inf)' : undefined);
    if (range === undefined) continue;
    const holds = within(range, ends);
    const each = rules.mask && first(rule) === first(rules.mask) ? data.length / count([axes[first(rule)]].flat()) : 0;
    data.forEach((x, i) => {
      if (each > 0 && !looked(Math.floor(i / each))) return;
      const nan = rule.kind === 'float' && Number.isNaN(x); // CV-10
      must(nan || holds(x), `${name}[${i}]`, x, `in ${range}`);
    });
  }
}
