// Terms and reductions: CV-1 to CV-5, and the weights, CV-39 to CV-43.

// A term of z: its value, its derivative, and whether `mean_nonzero` counts it (CV-4).
export const hinge = (z) => ({ value: Math.max(0, z), slope: z > 0 ? 1 : 0, counted: !(z <= 0) }); // CV-13
export const softplus = (z) => ({
  value: Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z))),
  slope: 1 / (1 + Math.exp(-z)),
  counted: true,
});
export const NOTHING = { value: 0, slope: 0, counted: false }; // a unit that takes no part (CV-8, CV-9)

// The term of a triplet with these two distances: TM-1, BH-1, SH-1; TM-11, BH-4, SH-12.
export const tripletTerm = (near, far, { margin, soft_margin }) =>
  soft_margin ? softplus(near - far) : hinge(margin + near - far);

// Which of n units the mask lets take part.
export const takingPart = (mask, n) => Array.from({ length: n }, (_, i) => !mask || mask.data[i] === 1);

// The value of a reduction, and its derivative by each term, times the cotangent. `taking` says which terms take part,
// `counts` how much of each `mean` counts (1 if left out), and `positives` how much `mean_nonzero` does (1 if positive).
export function reduce({ terms, taking, counts, positives }, reduction, weights, cotangent) {
  const perWeight = weights ? terms.length / weights.data.length : 1;
  const weight = (i) => (weights && taking[i] ? weights.data[Math.floor(i / perWeight)] : 1);
  const kept = (i) => taking[i] && weight(i) !== 0; // CV-41: nothing is left of a term of weight 0
  const counted = {
    mean: (i) => counts?.[i] ?? 1,
    mean_nonzero: (i) => positives?.[i] ?? (terms[i] <= 0 ? 0 : 1), // CV-4: a term that is NaN is counted
  }[reduction];
  const weighed = terms.map((term, i) => (kept(i) ? weight(i) * term : 0)); // CV-39
  const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);
  const none = reduction === 'none';
  const divisor = counted ? sum(terms.map((_, i) => (kept(i) ? weight(i) * counted(i) : 0))) : 1; // CV-3, CV-4, CV-40
  const total = sum(weighed);
  const value = divisor > 0 || Number.isNaN(total) ? total / (divisor || 1) : 0; // CV-5, CV-43
  const slopes = terms.map((term, i) => {
    if (!kept(i) || divisor === 0 || Number.isNaN(term)) return 0; // CV-6, CV-11, CV-42
    return (cotangent?.[none ? i : 0] ?? 1) * weight(i) / divisor;
  });
  return { value: none ? weighed : value, slopes };
}
