// Masks of triplets, how hard a triplet is, and drawing some (spec/mining.md).

import { must } from './conventions/arguments.mjs';
import { plain } from './conventions/functions.mjs';
import { takingPart } from './conventions/terms.mjs';
import { pairs } from './pairwise.mjs';

const labelled = (axis) => ({ shape: axis, kind: 'label' });
const number = { kind: 'integer', range: '[0, inf)' };
const margin = { kind: 'real', range: '[0, inf)' };
const KINDS = { easy: 0, semi_hard: 1, hard: 2 };
const indices = (rows, ...rest) => ({ dtype: 'int64', shape: [rows.length, ...rest], data: rows.flat().map(BigInt) });
const drawn = (list, rng) => list[Math.floor(rng() * list.length)];

export const triplet_masks = plain({
  function: 'triplet_masks',
  inputs: { labels: labelled('B'), mask: { shape: 'B', kind: 'bool', optional: true } },
  returns: { positive: { shape: 'B B', kind: 'bool' }, negative: { shape: 'B B', kind: 'bool' } },
}, ({ labels: { data }, mask }, _, { B }) => {
  const taking = takingPart(mask, B); // MI-3
  const where = (holds) => {
    const rows = taking.map((one, a) => taking.map((other, b) => Number(one && other && holds(a, b))));
    return { dtype: 'bool', shape: [B, B], data: rows.flat() };
  };
  const positive = where((a, p) => a !== p && data[a] === data[p]); // MI-1
  const negative = where((a, n) => data[a] !== data[n]); // MI-2
  return { positive, negative };
});

function codeOf(near, far, m) {
  if (Number.isNaN(near) || Number.isNaN(far)) return -1; // MI-7
  if (near + m <= far) return KINDS.easy; // MI-4
  return near < far ? KINDS.semi_hard : KINDS.hard; // MI-5, MI-6
}

export const classify_triplets = plain({
  function: 'classify_triplets',
  inputs: { d_ap: { shape: '...', kind: 'float' }, d_an: { shape: '...', kind: 'float' } },
  parameters: { margin },
  returns: { code: { shape: '...', kind: 'integer' } },
}, ({ d_ap, d_an }, options) => {
  const data = d_ap.data.map((near, i) => codeOf(near, d_an.data[i], options.margin));
  return { code: { dtype: 'int32', shape: d_ap.shape, data } }; // MI-8
});

// The rows of each identity, and those of the others.
function identities({ data }) {
  const rows = new Map();
  data.forEach((label, i) => rows.set(label, [...(rows.get(label) ?? []), i]));
  return [...rows.values()].map((own) => ({ own, others: [...data.keys()].filter((i) => data[i] !== data[own[0]]) }));
}

// One of the groups, drawn with a probability in proportion to its weight.
function weighted(groups, weight, rng) {
  let left = rng() * groups.reduce((sum, group) => sum + weight(group), 0);
  return groups.find((group) => (left -= weight(group)) < 0);
}

const twoOf = (list, rng) => {
  const first = drawn(list, rng);
  return [first, drawn(list.filter((i) => i !== first), rng)];
};
const similar = ({ own }) => own.length * (own.length - 1);
const dissimilar = ({ own, others }) => own.length * others.length;

export const sample_triplets = plain({
  function: 'sample_triplets',
  random: true,
  inputs: { labels: labelled('N') },
  parameters: { n: number },
  returns: { triplets: { shape: 'n 3', kind: 'index' } },
}, ({ labels }, { n }, _, rng) => { // MI-9, MI-10
  const groups = identities(labels), weight = (group) => similar(group) * group.others.length;
  const possible = groups.some((group) => weight(group) > 0);
  must(n === 0 || possible, 'labels', `[${labels.data}]`, 'two rows of one identity, and one of another'); // MI-14
  const draw = () => {
    const { own, others } = weighted(groups, weight, rng);
    return [...twoOf(own, rng), drawn(others, rng)];
  };
  return { triplets: indices(Array.from({ length: n }, draw), 3) };
});

export const sample_pairs = plain({
  function: 'sample_pairs',
  random: true,
  inputs: { labels: labelled('N') },
  parameters: { n: number },
  returns: { pairs: { shape: 'n 2', kind: 'index' }, dissimilar: { shape: 'n', kind: 'bool' } },
}, ({ labels }, { n }, _, rng) => { // MI-11, MI-12
  const groups = identities(labels), kinds = [similar, dissimilar];
  kinds.slice(0, n).forEach((weight) => { // MI-14
    must(groups.some((group) => weight(group) > 0), 'labels', `[${labels.data}]`, `labels with a ${weight.name} pair`);
  });
  const draw = (_, i) => {
    const { own, others } = weighted(groups, kinds[i % 2], rng);
    return i % 2 ? [drawn(own, rng), drawn(others, rng)] : twoOf(own, rng);
  };
  const data = Array.from({ length: n }, (_, i) => i % 2);
  return { pairs: indices(Array.from({ length: n }, draw), 2), dissimilar: { dtype: 'bool', shape: [n], data } };
});

export const sample_active = plain({
  function: 'sample_active',
  random: true,
  inputs: { terms: { shape: 'N', kind: 'float' } },
  parameters: { n: number },
  returns: { index: { shape: 'n', kind: 'index' } },
}, ({ terms }, { n }, _, rng) => { // MI-13
  const active = [...terms.data.keys()].filter((i) => terms.data[i] > 0);
  return { index: indices(Array.from({ length: n }, () => (active.length ? drawn(active, rng) : -1))) };
});

const picked = { shape: 'picks', kind: 'index' };

export const sample_negatives = plain({
  function: 'sample_negatives',
  random: true,
  inputs: {
    embeddings: { shape: 'B D', kind: 'float' },
    labels: labelled('B'),
    mask: { shape: 'B', kind: 'bool', optional: true },
  },
  parameters: {
    margin,
    kinds: { kind: 'choices', default: ['semi_hard'], choices: Object.keys(KINDS) },
    distance: { kind: 'choice', default: 'squared_euclidean', choices: ['euclidean', 'squared_euclidean', 'cosine'] },
    size: { ...number, optional: true },
  },
  returns: { a: picked, p: picked, n: picked },
}, (arrays, { distance, kinds, size, ...options }, _, rng) => {
  const batch = pairs(arrays, { distance }); // MI-17
  const codes = kinds.map((kind) => KINDS[kind]);
  const code = (a, p, n) => codeOf(batch.distance(a, p), batch.distance(a, n), options.margin); // MI-19
  let picks = batch.positives.flatMap((others, a) => others.flatMap((p) => { // MI-15
    const chosen = batch.negatives[a].filter((n) => codes.includes(code(a, p, n)));
    return chosen.length ? [[a, p, drawn(chosen, rng)]] : []; // MI-16
  }));
  if (size !== undefined) { // MI-18
    const keys = picks.map(() => rng()), order = [...keys.keys()].sort((i, j) => keys[i] - keys[j]);
    const kept = new Set(order.slice(0, size));
    picks = picks.filter((_, i) => kept.has(i));
    while (picks.length < size) picks.push([-1, -1, -1]);
  }
  return Object.fromEntries(['a', 'p', 'n'].map((name, side) => [name, indices(picks.map((pick) => pick[side]))]));
});
