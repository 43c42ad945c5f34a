// What a figure knows of a call without computing it: its loss, its arrays of rows, and which axis is that of the units.

import {
  arcface_loss, batch_all_triplet_loss, batch_hard_triplet_loss, center_loss, circle_loss, contrastive_loss,
  cosface_loss, oim_loss, semi_hard_triplet_loss, triplet_margin_loss,
} from '../../examples/ports/javascript/index.mjs';

const ALL = [
  arcface_loss, batch_all_triplet_loss, batch_hard_triplet_loss, center_loss, circle_loss, contrastive_loss,
  cosface_loss, oim_loss, semi_hard_triplet_loss, triplet_margin_loss,
];
export const LOSSES = Object.fromEntries(ALL.map((f) => [f.signature.loss, f])); // those whose rows have a place in a plane

const LETTERS = {
  embeddings: 'x', anchor: 'a', positive: 'p', negative: 'n', x1: 'u', x2: 'v',
  centers: 'c', class_weights: 'w', lookup_table: 'w', queue: 'q',
};
const subscript = (i) => [...`${i}`].map((digit) => String.fromCharCode(0x2080 + Number(digit))).join('');
export const nameOf = ([array, i]) => `${LETTERS[array]}${subscript(i)}`;

const rules = (loss) => Object.entries(LOSSES[loss].signature.inputs);
const axis = ({ shape }) => shape.split(' ')[0];

// The arrays that hold rows, and of these the ones of the units: one row of each is a row of the batch, a pair, a triplet.
export const rowArrays = (loss) => rules(loss).filter(([, { kind, optional }]) => kind === 'float' && !optional)
  .map(([name]) => name);
export const unitArrays = (loss) => rules(loss).filter(([, rule]) => axis(rule) === axis(rules(loss)[0][1]))
  .map(([name]) => name);
export const isUnit = (loss, [array]) => unitArrays(loss).includes(array);
export const units = ({ loss, inputs }) => inputs[unitArrays(loss)[0]].length;
export const width = ({ loss, inputs }) => inputs[rowArrays(loss)[0]][0].length;
export const points = ({ loss, inputs }) => rowArrays(loss).flatMap((array) => inputs[array].map((_, i) => [array, i]));
export const at = ({ inputs }, [array, i]) => [inputs[array][i][0], inputs[array][i][1] ?? 0];
export const takesPart = ({ loss, inputs }, point) => !isUnit(loss, point) || (inputs.mask?.[point[1]] ?? true);

// Which rows belong together: a number that stands for a class, a pair or a triplet. A queue has no classes.
export function classOf({ inputs }, [array, i]) {
  if (array === 'queue') return null;
  return array === 'embeddings' ? inputs.labels[i] : i;
}

// What the number keys change: the label of a row, or whether a pair is dissimilar. Returns its bounds, or null.
export function changeable({ loss, inputs }, point) {
  if (!isUnit(loss, point)) return null;
  if (inputs.dissimilar) return { of: 'dissimilar', least: 0, most: 1 };
  if (!inputs.labels) return null;
  const table = rowArrays(loss)[1];
  return { of: 'labels', least: loss === 'oim_loss' ? -1 : 0, most: table ? inputs[table].length - 1 : 9 };
}
