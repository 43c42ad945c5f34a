// The figure of a page: what the reader does becomes a call, and the call what is shown.

import { read, START, write } from './address.mjs';
import { evaluate, python, termsOf } from './call.mjs';
import { add, mask, move, relabel, remove } from './change.mjs';
import { atWork } from './clauses.mjs';
import { optionControls, readOptions, rowControls, showOptions, stepped } from './controls.mjs';
import { defaultCall } from './defaults.mjs';
import { gradientTable, lossOf, termTable } from './numbers.mjs';
import { ground, marks, place, steepest } from './plane.mjs';
import { LOSSES, at, changeable, nameOf, points } from './rows.mjs';
import { plain, shown } from './shown.mjs';
import { SKELETON } from './skeleton.mjs';
import { HEIGHT, WIDTH, inside, rounded, toPlace, viewOf } from './view.mjs';
import { legend } from './zones.mjs';

const SPELL = 250; // milliseconds without a change, after which the address follows; browsers refuse it more often
const PAUSE = 100; // milliseconds between two sights of the tables while a row is dragged; the picture follows each move
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// `homes` says on which page of the spec the clauses of a prefix stand.
export function start(root, homes) {
  const { loss } = root.dataset;
  if (!LOSSES[loss]) return;
  root.innerHTML = SKELETON;
  const part = (name) => root.querySelector(`.${name}`), svg = part('plane');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  part('options').innerHTML = optionControls(loss);
  const { labels, dissimilar } = LOSSES[loss].signature.inputs;
  part('digits').textContent = labels ? 'a number or + and − change its label, ' : dissimilar ? '1 and 0 make its pair dissimilar or similar, ' : '';
  const rays = loss === 'circle_loss' || 'class_weights' in LOSSES[loss].signature.inputs;
  let call, view, found, positive, timer;

  const directed = () => rays || found.options.distance === 'cosine';
  const clauseLink = (id) => {
    const anchor = `#${id.toLowerCase()}`, here = document.getElementById(anchor.slice(1));
    return `<a href="${here ? '' : `${homes[id.slice(0, 2)]}.html`}${anchor}">${id}</a>`;
  };

  // The term that is looked at: that of the selected row, of a pair the one with the positive that was chosen.
  function lookedAt(terms) {
    const [array, i] = call.selected;
    const mine = terms.filter((t) => (t.row[0] === array ? t.row[1] === i
      : array !== 'embeddings' && [t.near, t.far].some((p) => `${p}` === `${call.selected}`)));
    return { mine, term: mine.find((t) => `${t.near}` === positive) ?? mine[0] };
  }

  function draw() {
    const terms = termsOf(call, found), { mine, term } = lookedAt(terms);
    svg.querySelector('.ground').innerHTML = ground(call, found, view, terms, term, directed());
    place(svg, call, view);
    const most = steepest(found);
    part('legend').textContent = `${legend(call, found, term)}Arrows: down the gradient`
      + `${most > 0 ? `, the longest is ${shown(most)}.` : '; it is 0 everywhere.'}`;
    part('loss').innerHTML = lossOf(found);
    const several = mine.length > 1 ? `<label><span>pair with</span><select name="positive">${mine.map((t) =>
      `<option value="${t.near}"${t === term ? ' selected' : ''}>${nameOf(t.near)}</option>`).join('')}</select></label>` : '';
    if (part('pair').innerHTML !== several && !part('pair').contains(document.activeElement)) part('pair').innerHTML = several;
    part('clauses').innerHTML = atWork(call, found, call.selected, term)
      .map(([id, words]) => `<li>${clauseLink(id)} ${plain(words)}</li>`).join('');
    clearTimeout(tables.timer);
    if (!dragged) tables(terms, term);
    else if (performance.now() - tables.last > PAUSE) tables(terms, term);
    else tables.timer = setTimeout(tables, PAUSE, terms, term);
  }

  function tables(terms, term) {
    part('terms').innerHTML = termTable(terms, term);
    part('gradients').innerHTML = gradientTable(call, found);
    part('python').textContent = python(call);
    showOptions(part('options'), call);
    tables.last = performance.now();
  }

  // A call that the port refuses is not shown: the picture stays, and the sentence of the port says why.
  function set(next, { anew = false, quiet = false } = {}) {
    let result;
    try {
      result = evaluate(next);
    } catch (problem) {
      part('note').textContent = problem.message;
      return false;
    }
    const rebuilt = anew || !call || points(next).join() !== points(call).join() || next.inputs.labels !== call.inputs.labels
      || `${next.selected}` !== `${call.selected}`;
    if (!call || `${next.selected}` !== `${call.selected}`) positive = undefined;
    [call, found] = [next, result];
    part('note').textContent = '';
    if (anew) view = viewOf(call, directed());
    if (rebuilt) build();
    draw();
    if (!quiet) later();
    return true;
  }

  function build() {
    const held = svg.contains(document.activeElement);
    svg.querySelector('.marks').innerHTML = marks(call);
    if (held) focusSelected();
    showRow();
  }
  function showRow() {
    const name = part('row').contains(document.activeElement) && document.activeElement.name;
    part('row').innerHTML = rowControls(call);
    if (name) part('row').elements[name]?.focus();
  }
  const focusSelected = () => svg.querySelector(`[data-point="${call.selected}"]`).focus();
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, '', write(call)), SPELL);
  };
  const settle = () => { // rows that left the picture are fetched back into it
    if (points(call).every((point) => inside(view, at(call, point)))) return;
    view = viewOf(call, directed());
    draw();
  };

  function open() {
    if (location.hash.startsWith(START.slice(0, 8))) {
      try {
        const linked = read(loss, location.hash);
        evaluate(linked);
        set(linked, { anew: true, quiet: true });
        root.scrollIntoView();
        return;
      } catch (problem) {
        set(defaultCall(loss), { anew: true, quiet: true });
        part('note').textContent = `The link holds no call that can be shown, so this is the example of the page: ${problem.message}.`;
        return;
      }
    }
    if (!call) set(defaultCall(loss), { anew: true, quiet: true });
  }

  // The pointer
  const pointOf = (target) => {
    const mark = target.closest?.('.mark');
    if (!mark) return null;
    const [array, i] = mark.dataset.point.split(',');
    return [array, Number(i)];
  };
  let dragged = null;
  const placeOf = (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return toPlace(view, [x, y]);
  };
  svg.addEventListener('pointerdown', (event) => {
    const point = pointOf(event.target);
    if (!point || event.button > 0) return;
    event.preventDefault();
    set({ ...call, selected: point });
    focusSelected();
    const from = placeOf(event), own = at(call, point);
    dragged = { id: event.pointerId, point, by: own.map((x, k) => x - from[k]) };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    if (dragged?.id !== event.pointerId) return;
    const to = placeOf(event).map((x, k) => rounded(view, x + dragged.by[k]));
    set(move(call, dragged.point, to));
  });
  const drop = () => {
    if (!dragged) return;
    dragged = null;
    draw();
    settle();
    showRow();
  };
  for (const end of ['pointerup', 'pointercancel']) svg.addEventListener(end, drop);

  // The keyboard
  svg.addEventListener('focusin', ({ target }) => {
    const point = pointOf(target);
    if (point && `${point}` !== `${call.selected}`) set({ ...call, selected: point });
  });
  svg.addEventListener('keydown', (event) => {
    const point = pointOf(event.target);
    if (!point || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = keyed(event, point);
    if (!next) return;
    event.preventDefault();
    if (set(next)) settle();
    showRow();
  });
  function keyed({ key, shiftKey }, point) {
    const step = view.grain * (shiftKey ? 1 : 10), bounds = changeable(call, point);
    const number = () => Number(call.inputs[bounds.of][point[1]]);
    if (ARROWS[key]) return move(call, point, at(call, point).map((x, k) => rounded(view, x + step * ARROWS[key][k])));
    if (/^\d$/.test(key)) return relabel(call, point, Number(key));
    if (bounds && (key === '+' || key === '-')) return relabel(call, point, number() + (key === '+' ? 1 : -1));
    if (key === 'm') return mask(call, point);
    return key === 'Delete' ? remove(call, point) : null;
  }

  // The controls
  part('options').addEventListener('input', () => set({ ...call, options: readOptions(part('options'), loss) }));
  root.addEventListener('keydown', (event) => {
    const up = event.key === 'ArrowUp', field = event.target;
    if (!field.matches('input[inputmode=decimal]') || !(up || event.key === 'ArrowDown')) return;
    event.preventDefault();
    field.value = stepped(field.value, up);
    field.dispatchEvent(new Event('input', { bubbles: true }));
  });
  part('row').addEventListener('input', ({ target: { name, value, checked } }) => {
    const point = call.selected, text = value.trim(), number = text === '' ? NaN : Number(text);
    if (name === 'mask') set(mask(call, point));
    else if (name === 'dissimilar') set(relabel(call, point, Number(checked)));
    else if (name === 'labels') set(relabel(call, point, number));
    else if (Number.isFinite(number)) {
      if (set(move(call, point, at(call, point).map((x, k) => (k === 'xy'.indexOf(name) ? number : x))))) settle();
    } else part('note').textContent = `${name} is ${JSON.stringify(value)}; expected a number`;
  });
  part('row').addEventListener('click', ({ target }) => {
    if (target.name !== 'remove' || !set(remove(call, call.selected))) return;
    focusSelected();
  });
  part('pair').addEventListener('change', ({ target }) => {
    positive = target.value;
    draw();
  });
  part('add').addEventListener('click', () => {
    if (set(add(call, 30 * view.grain))) settle();
  });
  part('anew').addEventListener('click', () => set(defaultCall(loss), { anew: true }));
  part('copy').addEventListener('click', async ({ target }) => {
    getSelection().selectAllChildren(part('python'));
    try {
      await navigator.clipboard.writeText(python(call));
      target.textContent = 'Copied';
    } catch {
      target.textContent = 'Selected';
    }
    setTimeout(() => { target.textContent = 'Copy'; }, 2000);
  });
  addEventListener('hashchange', open);
  open();
}
