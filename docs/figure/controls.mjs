// The options of a call as form controls, made from the signature of the port, and the row that is selected.

import { LOSSES, at, changeable, isUnit, nameOf, takesPart, units, width } from './rows.mjs';
import { plain } from './shown.mjs';

// Options that the call would refuse beside the others: DI-21, and the margin beside a soft margin.
const idle = (name, rule, options) => (rule.applies_to && options.distance !== rule.applies_to)
  || (name === 'margin' && options.soft_margin);

const valueOf = (name, rule, given) => given[name] ?? rule.default;
const worded = (x) => (x === undefined ? '' : x === Infinity ? 'inf' : `${x}`);

export function optionControls(loss) {
  const { parameters } = LOSSES[loss].signature;
  return Object.entries(parameters).map(([name, rule]) => {
    const label = `<span>${name.replaceAll('_', '_<wbr>')}</span>`;
    if (rule.kind === 'bool') return `<label class="tick"><input type="checkbox" name="${name}">${label}</label>`;
    if (rule.kind === 'choice') {
      const choices = rule.choices.map((word) => `<option>${word}</option>`).join('');
      return `<label>${label}<select name="${name}">${choices}</select></label>`;
    }
    const range = plain(`${rule.kind} in ${rule.range}`);
    return `<label>${label}<input name="${name}" inputmode="decimal" autocomplete="off" title="${range}"></label>`;
  }).join('');
}

export function showOptions(form, { loss, options }) {
  const rules = LOSSES[loss].signature.parameters;
  const all = Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, valueOf(name, rule, options)]));
  for (const [name, rule] of Object.entries(rules)) {
    const control = form.elements[name];
    control.disabled = Boolean(idle(name, rule, all));
    if (control === document.activeElement) continue;
    if (rule.kind === 'bool') control.checked = all[name];
    else control.value = worded(all[name]);
  }
}

// The options that the controls hold, but for those at their default.
export function readOptions(form, loss) {
  const rules = LOSSES[loss].signature.parameters, all = {}, given = {};
  for (const [name, { kind }] of Object.entries(rules)) {
    const { value, checked } = form.elements[name], text = value.trim();
    const number = () => (text === '' ? undefined : text === 'inf' ? Infinity : Number(text));
    all[name] = kind === 'bool' ? checked : kind === 'choice' ? value : number();
  }
  for (const [name, rule] of Object.entries(rules)) {
    if (all[name] !== undefined && all[name] !== rule.default && !idle(name, rule, all)) given[name] = all[name];
  }
  return given;
}

// Up and down step a number by its own size, as they do in a number field.
export function stepped(text, up) {
  const x = text === '' ? 0 : Number(text);
  if (!Number.isFinite(x)) return text;
  const step = x === 0 ? 0.1 : 10 ** (Math.floor(Math.log10(Math.abs(x))) - (Math.abs(x) >= 10 ? 0 : 1));
  return `${Number((x + (up ? step : -step)).toPrecision(8))}`;
}

export function rowControls(call) {
  const point = call.selected, bounds = changeable(call, point), unit = isUnit(call.loss, point);
  const axes = ['x', 'y'].slice(0, width(call)).map((k, i) =>
    `<label><span>${k}</span><input name="${k}" inputmode="decimal" autocomplete="off" value="${at(call, point)[i]}"></label>`);
  const number = bounds && call.inputs[bounds.of][point[1]];
  const label = !bounds ? '' : bounds.of === 'dissimilar'
    ? `<label class="tick"><input type="checkbox" name="dissimilar" ${number ? 'checked' : ''}><span>dissimilar</span></label>`
    : `<label><span>label</span><input type="number" name="labels" min="${bounds.least}" max="${bounds.most}" value="${number}"></label>`;
  const mask = unit ? `<label class="tick"><input type="checkbox" name="mask" ${takesPart(call, point) ? 'checked' : ''}>
    <span>takes part</span></label>` : '';
  const remove = unit ? `<button type="button" name="remove" ${units(call) > 1 ? '' : 'disabled'}>Remove</button>` : '';
  return `<legend>${nameOf(point)}, a row of <code>${point[0]}</code></legend>${axes.join('')}${label}${mask}${remove}`;
}
