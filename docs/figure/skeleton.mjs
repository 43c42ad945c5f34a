// The parts of a figure, as they stand before a call is shown.

export const SKELETON = `
<p class="title" id="figure-title">Move the rows</p>
<p class="note" role="status"></p>
<div class="board">
  <div class="stage">
    <svg class="plane" role="group" aria-labelledby="figure-title" aria-describedby="figure-keys">
      <g class="ground" aria-hidden="true"></g><g class="marks"></g>
    </svg>
    <p class="legend"></p>
    <p class="keys" id="figure-keys">Drag a row, or go to it with the tab key: arrow keys move it (with shift, less), <span
      class="digits"></span>m masks it, Delete removes it.</p>
    <p><button type="button" class="add">Add a row</button> <button type="button" class="anew">Start anew</button></p>
  </div>
  <div class="side">
    <p class="worth">Loss <output class="loss"></output></p>
    <form class="options" aria-label="Options of the loss" onsubmit="return false"></form>
    <form onsubmit="return false"><fieldset class="row"></fieldset></form>
    <div class="pair"></div>
    <p class="heading">At work here</p>
    <ul class="clauses"></ul>
  </div>
</div>
<div class="numbers">
  <div class="terms" tabindex="0" role="region" aria-label="Terms"></div>
  <div class="gradients" tabindex="0" role="region" aria-label="Gradient of each row"></div>
</div>
<p class="heading">The same call <button type="button" class="copy">Copy</button></p>
<pre class="line" tabindex="0" aria-label="The same call in Python"><code class="python"></code></pre>
<p class="source">The numbers are those of the JavaScript port, which the suite certifies. The address holds this case: copy it to link to it.</p>
`;
