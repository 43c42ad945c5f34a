// Changes of a call. Each returns a new one and leaves the old as it was.

import { changeable, isUnit, rowArrays, unitArrays, units } from './rows.mjs';

const withInputs = (call, inputs, rest = {}) => ({ ...call, inputs: { ...call.inputs, ...inputs }, ...rest });
const replaced = (items, i, item) => items.map((old, k) => (k === i ? item : old));

export function move(call, [array, i], place) {
  const row = place.slice(0, call.inputs[array][i].length);
  return withInputs(call, { [array]: replaced(call.inputs[array], i, row) });
}

export function relabel(call, point, number) {
  const bounds = changeable(call, point);
  if (!bounds || !Number.isInteger(number) || number < bounds.least || number > bounds.most) return call;
  const value = bounds.of === 'dissimilar' ? number === 1 : number;
  return withInputs(call, { [bounds.of]: replaced(call.inputs[bounds.of], point[1], value) });
}

export function mask(call, point) {
  if (!isUnit(call.loss, point)) return call;
  const all = call.inputs.mask ?? Array(units(call)).fill(true);
  const mine = replaced(all, point[1], !all[point[1]]), { mask: _, ...others } = call.inputs;
  return { ...call, inputs: mine.every(Boolean) ? others : { ...others, mask: mine } };
}

const ofUnits = ({ loss, inputs }, change) => Object.fromEntries(unitArrays(loss).filter((name) => inputs[name])
  .map((name) => [name, change(inputs[name], name)]));

export function remove(call, point) {
  if (!isUnit(call.loss, point) || units(call) === 1) return call;
  const without = ofUnits(call, (items) => items.filter((_, k) => k !== point[1]));
  return withInputs(call, without, { selected: [point[0], Math.max(0, point[1] - 1)] });
}

// One more of what is selected, a little aside from it.
export function add(call, aside) {
  const i = isUnit(call.loss, call.selected) ? call.selected[1] : units(call) - 1;
  const shifted = (row) => row.map((x, k) => Number((x + (k === 0 ? aside : -aside)).toPrecision(12)));
  const rows = rowArrays(call.loss);
  const more = ofUnits(call, (items, name) => [...items, rows.includes(name) ? shifted(items[i]) : items[i]]);
  return withInputs(call, more, { selected: [unitArrays(call.loss)[0], units(call)] });
}

