// Drags a row for 60 moves; returns how many milliseconds each took, the layout of the page included.
() => {
  const svg = document.querySelector('.live-figure .plane');
  const mark = svg.querySelector('.mark'), { x, y } = mark.getBoundingClientRect();
  svg.setPointerCapture = () => {}; // there is no pointer to capture
  const send = (target, type, dx) => target.dispatchEvent(new PointerEvent(type, {
    bubbles: true, cancelable: true, pointerId: 7, clientX: x + 18 + dx, clientY: y + 18 + dx / 2,
  }));
  send(mark, 'pointerdown', 0);
  const times = Array.from({ length: 60 }, (_, i) => {
    const start = performance.now();
    send(svg, 'pointermove', i + 1);
    svg.closest('.live-figure').getBoundingClientRect();
    return performance.now() - start;
  });
  send(svg, 'pointerup', 60);
  return times;
}
