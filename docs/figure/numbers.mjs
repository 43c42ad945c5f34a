// The numbers of a call as HTML: its terms, with the rows that were taken, and the gradient of every row.

import { nameOf, points } from './rows.mjs';
import { data } from './shown.mjs';

export function lossOf({ value }) {
  return typeof value === 'number' ? data(value, 'value') : 'one number a term, below';
}

export function termTable(terms, chosen) {
  const pairs = terms.some((t) => t.row[0] === 'x1'); // which have one other row, near or far
  const far = !pairs && terms.some((t) => t.far), near = pairs || terms.some((t) => t.near);
  const head = ['row', 'term', ...(near ? [pairs ? 'with' : 'positive'] : []), ...(far ? ['negative'] : [])];
  const name = (point) => (point ? nameOf(point) : '–');
  const body = terms.map((t) => `<tr${t === chosen ? ' class="chosen"' : ''}><th scope="row">${nameOf(t.row)}</th>
    <td>${t.takes ? data(t.term, `term ${t.row}${t.near && t.row[0] === 'embeddings' ? ` ${t.near}` : ''}`) : '–'}</td>
    ${near ? `<td>${name(pairs ? t.near ?? t.far : t.near)}</td>` : ''}${far ? `<td>${name(t.far)}</td>` : ''}</tr>`);
  return table('Terms', head, body);
}

export function gradientTable(call, { gradients }) {
  const body = points(call).filter(([array]) => gradients[array]).map((point) => {
    const g = gradients[point[0]][point[1]].map((x, k) => `<td>${data(x, `gradient ${point},${k}`)}</td>`).join('');
    return `<tr${`${point}` === `${call.selected}` ? ' class="chosen"' : ''}><th scope="row">${nameOf(point)}</th>${g}</tr>`;
  });
  const head = ['row', ...['∂x', '∂y'].slice(0, call.inputs[points(call)[0][0]][0].length)];
  return table('Gradient', head, body);
}

const table = (title, head, body) => `<table><caption>${title}</caption>
  <thead><tr>${head.map((word) => `<th scope="col">${word}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`;
