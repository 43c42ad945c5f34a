// Numbers as a reader sees them: four digits, and the whole number for whoever reads the page by a program.

export const shown = (x) => {
  if (!Number.isFinite(x)) return `${x}`.replaceAll('-', '−').replace('Infinity', '∞');
  const few = Number(x.toPrecision(4));
  return `${few}`.replaceAll('-', '−');
};
export const data = (x, of = '') => `<data value="${x}"${of && ` data-of="${of}"`} title="${x}">${shown(x)}</data>`;
export const plain = (text) => `${text}`.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
