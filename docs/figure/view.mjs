// How the plane lies in the picture, from places to pixels and back.

import { at, points } from './rows.mjs';

export const WIDTH = 480;
export const HEIGHT = 340;
const EDGE = 46;

// All rows are in the picture, and the origin where directions are compared.
export function viewOf(call, rays) {
  const places = points(call).map((point) => at(call, point)).concat(rays ? [[0, 0]] : []);
  const ends = [0, 1].map((k) => [Math.min(...places.map((p) => p[k])), Math.max(...places.map((p) => p[k]))]);
  const rooms = [WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE].map((room, k) => room / (ends[k][1] - ends[k][0] || 1e-9));
  const scale = Math.min(...rooms) > 1e8 ? 100 : Math.min(...rooms);
  const [cx, cy] = ends.map(([low, high]) => (low + high) / 2);
  return { scale, grain: 10 ** Math.floor(Math.log10(1 / scale)), cx, cy };
}
export const toPixels = ({ scale, cx, cy }, [x, y]) => [WIDTH / 2 + (x - cx) * scale, HEIGHT / 2 - (y - cy) * scale];
export const toPlace = ({ scale, cx, cy }, [x, y]) => [cx + (x - WIDTH / 2) / scale, cy - (y - HEIGHT / 2) / scale];
export const inside = (view, place) => toPixels(view, place).every((x, k) => x > 8 && x < [WIDTH, HEIGHT][k] - 8);
export const rounded = ({ grain }, x) => Number((Math.round(x / grain) * grain).toPrecision(12));
