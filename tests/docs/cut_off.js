// Return the text of an article that goes beyond the window, and is in no box of its own that scrolls.
() => {
  const scrolled = (one) =>
    !one.matches(".bd-article") && (["auto", "scroll"].includes(getComputedStyle(one).overflowX) || scrolled(one.parentElement));
  const written = document.createTreeWalker(document.querySelector(".bd-article"), NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  const found = [];
  while (written.nextNode()) {
    range.selectNodeContents(written.currentNode);
    const holder = written.currentNode.parentElement;
    const drawn = holder.closest("svg") ? holder : range; // a range does not know of a drawing's textLength
    if (drawn.getBoundingClientRect().right > innerWidth + 1 && !scrolled(holder)) found.push(written.currentNode.textContent);
  }
  return found;
};
