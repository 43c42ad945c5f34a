// Which clauses are at work for a term or a row: each with the numbers that say so.

import { cosineOf, direction } from '../../examples/ports/javascript/distances.mjs';
import { isUnit, nameOf, points, takesPart } from './rows.mjs';
import { shown } from './shown.mjs';

const zero = (row) => row.every((x) => x === 0);

// Returns pairs of a clause and what it does here. `term` is the one that is looked at; a row of a table has none.
export function atWork(call, found, point, term) {
  const { loss, inputs } = call, { options } = found;
  if (!isUnit(loss, point)) return OF_TABLES[point[0]](call, point);
  if (!takesPart(call, point)) {
    return [['CV-8', 'The row is masked out: where it is changes no bit of the loss.'], ['CV-9', 'Its gradient is exactly 0.']];
  }
  const own = inputs.embeddings?.[point[1]];
  const cosine = options.distance === 'cosine' || loss === 'circle_loss';
  const flat = cosine && own && zero(own) ? [['DI-10', 'A zero row has cosine 0 with every row.']] : [];
  return [...OF_LOSSES[loss](call, found, term, point[1]), ...flat];
}

// The hinge of a triplet: what it is, and what it does at its kink.
function hinge({ d_near, d_far }, { margin, soft_margin }, { term, gradient, kink, soft }) {
  const dp = shown(d_near), dn = shown(d_far);
  if (soft_margin) return [[soft, `ln(1 + e^(${dp} − ${dn})): no margin, and never 0.`], [gradient, 'The gradient is σ times that of the two distances.']];
  const z = margin + d_near - d_far, sum = `${shown(margin)} + ${dp} − ${dn}`;
  if (z === 0) return [[kink, `${sum} is exactly 0, so the loss is 0, and it is no positive term.`], ['CV-13', 'At the kink this spec chooses gradient 0.']];
  if (z < 0) return [[term, `${sum} = ${shown(z)} is below 0, so the term is 0 and sends no gradient.`]];
  return [[term, `${sum} = ${shown(z)} is above 0, so it is the term.`], [gradient, 'Its gradient reaches these three rows alone.']];
}

function coincident({ d_near, d_far }, { distance, p, eps }) {
  const kink = distance === 'euclidean' || (distance === 'p_norm' && p > 1 && eps === 0);
  return kink && (d_near === 0 || d_far === 0) ? [['DI-15', 'Two rows coincide: this spec chooses gradient 0 for their distance.']] : [];
}

function batchHard(call, { options, batch }, term) {
  if (!term.takes) return [['BH-2', `${without(batch, term)}, so it takes no part: term 0, and in no denominator.`]];
  const a = term.row[1], [p, n] = [term.near[1], term.far[1]];
  const self = p === a ? [['BH-3', 'It is its own hardest positive.'], ['BH-10', 'Its distance from itself has no gradient.']] : [];
  const ties = [[batch.positives[a], term.d_near, p], [batch.negatives[a], term.d_far, n]]
    .filter(([others, d, taken]) => others.some((j) => j !== taken && batch.distance(a, j) === d));
  const tie = ties.length ? [['BH-8', 'Others are exactly as far: this spec takes the lowest index.']] : [];
  const clauses = { term: 'BH-1', gradient: 'BH-7', kink: 'BH-9', soft: 'BH-4' };
  return [...hinge(term, options, clauses), ...self, ...tie, ...floored(term, options), ...coincident(term, options)];
}

const floored = ({ d_near, d_far }, { floor, distance }) => {
  const least = distance === 'squared_euclidean' ? floor : Math.sqrt(floor);
  return floor > 0 && (d_near <= least || d_far <= least)
    ? [['PW-3', `A distance is raised to ${shown(least)} by the floor.`], ['PW-4', 'There it has gradient 0.']] : [];
};

const without = ({ positives, negatives }, { row: [, a] }) => {
  const lacks = [[positives, 'positive'], [negatives, 'negative']].filter(([of]) => of[a].length === 0);
  return `The anchor has no ${lacks.map(([, word]) => word).join(' and no ')}`;
};

function semiHard(call, { options, batch }, term) {
  if (!term.takes) return [['SH-4', `${without(batch, term)}, so it has no pair that takes part.`]];
  const a = term.row[1], n = term.far[1], d = batch.negatives[a].map((j) => batch.distance(a, j));
  const chosen = term.d_far > term.d_near
    ? ['SH-1', `${nameOf(term.far)} is the nearest negative that is farther than ${nameOf(term.near)}.`]
    : ['SH-3', `No negative is farther than ${nameOf(term.near)}, so the farthest, ${nameOf(term.far)}, is taken.`];
  const equal = d.includes(term.d_near) ? [['SH-2', 'A negative is exactly as far as the positive: it is not farther.']] : [];
  const tie = batch.negatives[a].some((j) => j !== n && batch.distance(a, j) === term.d_far);
  const beyond = !options.soft_margin && term.d_far > term.d_near + options.margin
    ? [['SH-5', 'It is beyond the margin, and taken all the same: the term is 0 and counts in the mean.']] : [];
  const clauses = { term: 'SH-1', gradient: 'SH-7', kink: 'SH-9', soft: 'SH-12' };
  return [chosen, ...equal, ...beyond, ...(beyond.length ? [] : hinge(term, options, clauses)),
    ...(tie ? [['SH-8', 'Negatives tie: this spec takes the lowest index.']] : []), ...coincident(term, options)];
}

function batchAll(call, { options, batch }, term) {
  const a = term.row[1], [near, far] = [batch.positives[a], batch.negatives[a]];
  const all = near.length * far.length;
  if (all === 0) return [['BA-3', `${without(batch, term)}, so it is in no triplet: term 0, and nothing in the denominator.`]];
  const z = near.flatMap((p) => far.map((n) => options.margin + batch.distance(a, p) - batch.distance(a, n)));
  const active = z.filter((x) => x > 0).length;
  return [
    ['BA-1', `${near.length} × ${far.length} triplets, of which ${active} are above 0; the term is their sum.`],
    ['BA-5', 'Each distance is pulled once for every active triplet that it is in.'],
    ...(z.includes(0) ? [['BA-6', 'A triplet is exactly at the margin: loss 0, gradient 0.']] : []),
  ];
}

function circle(call, { options, batch }, term) {
  const a = term.row[1], { margin } = options;
  const s = (j) => 1 - batch.distance(a, j);
  if (!batch.positives[a].length || !batch.negatives[a].length) {
    return [['CI-6', `${without(batch, term)}, so its term is 0.`], ['CI-13', 'It sends no gradient.'], ['CI-8', 'It counts in mean.']];
  }
  const clipped = batch.negatives[a].filter((j) => s(j) + margin <= 0).map((j) => nameOf(['embeddings', j]));
  return [
    ['CI-1', `${batch.negatives[a].length} negatives and ${batch.positives[a].length} positives in one logarithm.`],
    ...(clipped.length ? [['CI-4', `The weight of ${clipped.join(', ')} is clipped to 0.`]] : []),
    options.detach_weights ? ['CI-10', 'The weights have no gradient.'] : ['CI-11', 'The gradient goes through the weights too.'],
  ];
}

function tripletMargin(call, { options }, term) {
  const swap = options.swap && term.d_pn < term.d_an ? [['TM-5', 'The negative is nearer to the positive, so d(p, n) is taken.']]
    : options.swap && term.d_pn === term.d_an ? [['TM-6', 'd(a, n) and d(p, n) tie: d(a, n) is taken.']] : [];
  const signed = options.distance === 'p_norm' && options.eps_at === 'difference' && options.eps > 0
    ? [['TM-4', `ε = ${options.eps} is added to each coordinate of a − p and of a − n.`]] : [];
  const clauses = { term: 'TM-1', gradient: 'TM-7', kink: 'TM-10', soft: 'TM-11' };
  return [...hinge(term, options, clauses), ...swap, ...signed, ...coincident(term, options)];
}

function contrastive({ inputs }, { options: { margin, factor } }, { d, row: [, i] }) {
  const f = shown(factor);
  if (!inputs.dissimilar[i]) return [['CO-1', `A similar pair: ${f} · ${shown(d)}².`], ['CO-7', 'Its gradient pulls the rows together.']];
  const coincide = d === 0 ? [['CO-6', `The pair coincides: ${f} · ${shown(margin)}².`], ['CO-8', 'This spec chooses gradient 0.']] : [];
  if (d >= margin) return [['CO-2', `A dissimilar pair at ${shown(d)}, not within the margin ${shown(margin)}: 0.`], ...coincide];
  return [['CO-2', `A dissimilar pair: ${f} · (${shown(margin)} − ${shown(d)})².`], ...(d ? [['CO-7', 'Its gradient pushes the rows apart.']] : coincide)];
}

function center({ inputs }, { options, metric }, { row: [, i] }) {
  const y = inputs.labels[i], { floor, ceiling } = options;
  const [x, c] = [inputs.embeddings[i], inputs.centers[y]].map((row) => Float64Array.from(row));
  const square = metric.measure(x, c).value, free = square > floor && square < ceiling;
  return [
    ['CN-1', `${shown(options.factor)} · d², where d² = ${shown(square)} from the center of class ${y}.`],
    ...(free ? [] : square === 0 ? [] : [['CN-2', 'd² is clipped.']]),
    free ? ['CN-7', 'The gradient draws the row to its center.'] : ['CN-9', 'At the floor or the ceiling the gradient is 0.'],
  ];
}

const angular = (term, zeroRow) => ({ inputs }, found, own, i) => [
  [term, `The cross-entropy of class ${inputs.labels[i]} among ${inputs.class_weights.length}.`],
  ...(zero(inputs.embeddings[i]) ? [[zeroRow, 'A zero row has cosine 0 with every class.']] : []),
];

function arcface(call, found, term, i) {
  const { inputs: { embeddings, class_weights, labels } } = call, { margin, beyond_pi } = found.options;
  const [x, w] = [embeddings[i], class_weights[labels[i]]];
  const [row, own] = [x, w].map((numbers) => direction(Float64Array.from(numbers)));
  const past = cosineOf(row, own) < -Math.cos(margin);
  const branch = { keep: 'AF-5', linear: 'AF-6', continuous: 'AF-7' }[beyond_pi];
  return [...angular('AF-1', 'AF-9')(call, found, term, i),
    ...(past ? [['AF-8', 'The angle and the margin pass π.'], [branch, `beyond_pi is ${beyond_pi}.`]] : [])];
}

function oim({ inputs: { labels, lookup_table, queue } }, { options }, term, i) {
  if (labels[i] === options.unlabelled) return [['OI-3', `The label is ${labels[i]}: a row without an identity is no term.`]];
  return [['OI-1', `Identity ${labels[i]} among ${lookup_table.length} of the table and ${queue.length} of the queue.`],
    ['OI-2', 'Nothing is normalised: longer rows count more.']];
}

const OF_LOSSES = {
  batch_hard_triplet_loss: batchHard, semi_hard_triplet_loss: semiHard, batch_all_triplet_loss: batchAll,
  circle_loss: circle, triplet_margin_loss: tripletMargin, contrastive_loss: contrastive, center_loss: center,
  arcface_loss: arcface, cosface_loss: angular('CF-1', 'CF-4'), oim_loss: oim,
};

const memory = () => [['OI-9', 'The memory has no gradient.']];
const OF_TABLES = {
  centers(call, [, j]) {
    const mine = points(call).filter((x) => x[0] === 'embeddings' && takesPart(call, x) && call.inputs.labels[x[1]] === j);
    return mine.length ? [['CN-8', `${mine.map(nameOf).join(', ')} draw this center.`]]
      : [['CN-6', 'No row has this label: the center takes no part.']];
  },
  class_weights: ({ loss }) => [[loss === 'arcface_loss' ? 'AF-2' : 'CF-2', 'Only the direction of a class weight counts.']],
  lookup_table: memory,
  queue: memory,
};
