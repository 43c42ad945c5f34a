// The pairs of a batch (spec/pairwise.md): the candidates that are positives and negatives of an anchor, and how far.

import { must, sameLabel } from './conventions/arguments.mjs';
import { gradientsOf, rowsOf } from './conventions/arrays.mjs';
import { takingPart } from './conventions/terms.mjs';
import { distanceOf } from './distances.mjs';

function checkSecondSet(arrays) { // PW-13
  const names = ['candidate_labels', 'candidate_mask', 'candidate_index'];
  const given = names.filter((name) => arrays[name]);
  if (arrays.candidates) must(arrays.candidate_labels, 'candidate_labels', 'missing', 'the labels of candidates');
  else must(given.length === 0, given[0], 'given', 'candidates with it');
}

// `positives` and `negatives` hold, for each anchor, the indices of candidates in their order. distance(a, j) is that of
// the anchor a and the candidate j. backward(visit) gives the gradients that visit(pull) adds up by pull(a, j, slope).
export function pairs(arrays, options) {
  checkSecondSet(arrays);
  const { embeddings, labels, mask, candidate_index } = arrays;
  const own = (a) => (candidate_index ? Number(candidate_index.data[a]) : arrays.candidates ? -1 : a); // PW-10
  const candidates = arrays.candidates ?? embeddings;
  const names = (arrays.candidate_labels ?? labels).data;
  const { prepare, measure } = distanceOf(options);
  const anchors = rowsOf(embeddings).map(prepare);
  const others = arrays.candidates ? rowsOf(candidates).map(prepare) : anchors;
  const taking = takingPart(mask, anchors.length);
  const compared = takingPart(arrays.candidates ? arrays.candidate_mask : mask, others.length);

  const all = [...others.keys()].filter((j) => compared[j]);
  const choose = (holds) => anchors.map((_, a) => (taking[a] ? all.filter((j) => holds(a, j)) : []));
  const same = (a, j) => sameLabel(labels.data[a], names[j]);
  const positives = choose((a, j) => (j === own(a) ? options.include_self : same(a, j))); // PW-2, BH-3, BH-12
  const negatives = choose((a, j) => j !== own(a) && !same(a, j));
  positives.forEach(({ length }, a) => { // PW-8
    const most = options.max_positives ?? Infinity;
    must(length <= most, `the number of positives of row ${a}`, length, `max_positives = ${most} or less`);
  });

  const fromItself = (x) => { // BH-3
    const { value } = measure(x, x);
    return options.distance === 'cosine' ? Math.round(value) : value; // 0, or 1 for a zero row, and no rounding error
  };
  return {
    anchors, others, taking, positives, negatives,
    distance: (a, j) => (j === own(a) ? fromItself(anchors[a]) : measure(anchors[a], others[j]).value),
    backward(visit) {
      const { gradients, into } = gradientsOf(arrays.candidates ? { embeddings, candidates } : { embeddings }); // PW-11
      const from = into.candidates ?? into.embeddings;
      visit((a, j, slope) => {
        if (j === own(a) || slope === 0) return; // BH-10
        measure(anchors[a], others[j]).pull(slope, into.embeddings[a], from[j]);
      });
      return gradients;
    },
  };
}

// The inputs of a loss that compares the rows of a batch.
export const INPUTS = {
  embeddings: { shape: 'B D', kind: 'float', differentiable: true },
  labels: { shape: 'B', kind: 'label' },
  mask: { shape: 'B', kind: 'bool', optional: true },
  weights: { shape: 'B', kind: 'weight', optional: true },
  candidates: { shape: 'M D', kind: 'float', differentiable: true, optional: true },
  candidate_labels: { shape: 'M', kind: 'label', optional: true },
  candidate_mask: { shape: 'M', kind: 'bool', optional: true },
  candidate_index: { shape: 'B', kind: 'index', range: '[-1, M)', optional: true },
};
