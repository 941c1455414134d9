// Building row objects fast, whatever their columns are: the one file that is written for V8's inline caches.
//
// V8 remembers at each place of the source which classes of objects and which names it met there. A place that clones or
// fills rows of one class is up to seven times as fast as one that meets many (docs/bench/findings.md), and a program with more
// than four different queries makes every shared place meet many. Workers may not generate code, so the places are
// written out here, and each shape of a row gets its own as long as there are any. Other engines are neither helped nor
// hurt. Repetition costs next to nothing compressed.

/** The rows of one statement under construction. */
export type Rows = Record<string, unknown>[];

/** Makes a row like `template`. */
export type Clone = (template: Readonly<Record<string, null>>) => Record<string, unknown>;

/** Puts `values` into the column `key` of the rows from `first`. Counts from `zero`, which takes V8 less to read than a variable. */
export type Store = (rows: Rows, first: number, values: readonly unknown[], key: string, zero: 0) => void;

/** The next place to clone rows at. Four shapes can share one before it is slow. */
export function nextClone(): Clone {
  if (clonesGiven === FIRST_CLONES) clones.push(...moreClones());
  return clones[clonesGiven++ % clones.length];
}

/** The next place to fill a column at. When all are given away, further columns share them. */
export function nextStore(): Store {
  stores ??= makeStores();
  return stores[storesGiven++ % stores.length];
}

/** A place for a column that is not worth one of its own. There are a few, so that a first answer makes none hot. */
export function sharedStore(): Store {
  return shared[sharedGiven++ % shared.length];
}

/** The same for rows that are arrays, whose elements are all alike. */
// prettier-ignore
export const storeElement: Store = (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; };

/** `__proto__` is the one name that an assignment does not store. */
export const define: Store = (rows, first, values, key) => {
  for (const value of values)
    Object.defineProperty(rows[first++], key, { value, writable: true, enumerable: true, configurable: true });
};

let clonesGiven = 0;
let storesGiven = 0;
let sharedGiven = 0;
let stores: readonly Store[] | undefined;

// prettier-ignore
const shared: readonly Store[] = [
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
];

/** For the first query, whose rows may hold objects. */
const clones: Clone[] = [(template) => ({ ...template }), (template) => ({ ...template })];
const FIRST_CLONES = 2;

// Functions, so that a first query of few rows need not pay for them; with a body in braces, for of others V8 reads all.
// prettier-ignore
function moreClones(): readonly Clone[] { return [
  (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }),
  (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }), (t) => ({ ...t }),
]; }

// prettier-ignore
function makeStores(): readonly Store[] { return [
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
  (r, f, v, k, i: number) => { while (i < v.length) r[f++][k] = v[i++]; },
]; }
