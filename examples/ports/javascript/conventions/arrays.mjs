// Arrays: a nested list, or { dtype, shape, data } with the numbers in row-major order.
// A list of numbers is float64, of booleans bool, and of labels int64. Inside, floats are computed in float64 (CV-17).

export const FLOATS = { float32: Float32Array, float64: Float64Array }; // the narrower one first
export const INTEGERS = {
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
};
export const TYPES = { bool: Uint8Array, ...FLOATS, ...INTEGERS };

const LISTED = {
  float: { dtype: 'float64', is: (x) => typeof x === 'number' },
  weight: { dtype: 'float64', is: (x) => typeof x === 'number' },
  bool: { dtype: 'bool', is: (x) => typeof x === 'boolean' },
  label: { dtype: 'int64', is: Number.isSafeInteger },
  index: { dtype: 'int64', is: Number.isSafeInteger },
};

export const count = (shape) => shape.reduce((product, length) => product * length, 1);
export const isArray = (given) => Object.hasOwn(given ?? {}, 'dtype');

// One array of a call, copied. Numbers of 64 bits are BigInt, so that no label is rounded (CV-31, CV-32).
export function read(name, given, kind) {
  const { dtype, shape, data } = isArray(given) ? given : readList(name, given, LISTED[kind]);
  const known = Object.keys(TYPES);
  if (!known.includes(dtype)) throw new TypeError(`${name} has dtype ${dtype}; expected one of ${known}`);
  const exact = TYPES[dtype].from(data, dtype.endsWith('int64') ? BigInt : Number), expected = count(shape);
  if (exact.length !== expected) throw new RangeError(`${name} has ${exact.length} numbers; expected ${expected}`);
  return { dtype, shape, data: dtype in FLOATS ? Float64Array.from(exact) : exact };
}

function readList(name, given, { dtype, is }) {
  const shape = [], data = [];
  for (let list = given; Array.isArray(list); [list] = list) shape.push(list.length);
  const visit = (item, axis) => {
    if (axis === shape.length ? !is(item) : !Array.isArray(item) || item.length !== shape[axis]) {
      throw new TypeError(`${name} holds ${JSON.stringify(item)}; expected rows of one length, of ${dtype}`);
    }
    if (axis === shape.length) data.push(item);
    else for (const inner of item) visit(inner, axis + 1);
  };
  visit(given, 0);
  return { dtype, shape, data };
}

// An array as it is handed back, in its dtype: nested where the call was made with lists.
export function write({ dtype, shape, data }, nested) {
  const exact = TYPES[dtype].from(data);
  if (!nested) return { dtype, shape, data: exact };
  const item = dtype === 'bool' ? Boolean : Number;
  const list = (axis, from, length) => {
    if (axis === shape.length) return item(exact[from]);
    const step = length / shape[axis];
    return Array.from({ length: shape[axis] }, (_, i) => list(axis + 1, from + i * step, step));
  };
  return list(0, 0, exact.length);
}

// The rows of an array, as views into it.
export function rowsOf({ data, shape }) {
  const width = shape.at(-1);
  return Array.from({ length: count(shape.slice(0, -1)) }, (_, i) => data.subarray(i * width, (i + 1) * width));
}

// Gradients of these arrays, which are 0, and their rows to add to.
export function gradientsOf(arrays) {
  const gradients = mapValues(arrays, ({ shape }) => ({ shape, data: new Float64Array(count(shape)) }));
  return { gradients, into: mapValues(gradients, rowsOf) };
}

export function mapValues(object, make) {
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [name, make(item, name)]));
}
