// Where two values differ, or undefined where they are deeply equal: prototypes, keys and their order included.

export function difference(found, expected, path) {
  if (Object.is(found, expected)) return undefined;
  if (typeof found !== "object" || typeof expected !== "object" || found === null || expected === null) {
    return `${path} is ${String(found)}, not ${String(expected)}`;
  }
  if (Object.getPrototypeOf(found) !== Object.getPrototypeOf(expected)) return `${path} has another prototype`;
  if (expected instanceof Date) {
    return found.getTime() === expected.getTime()
      ? undefined
      : `${path} is ${found.toJSON()}, not ${expected.toJSON()}`;
  }
  const [keys, expectedKeys] = [Object.keys(found), Object.keys(expected)];
  if (keys.join() !== expectedKeys.join())
    return `${path} has the keys ${keys.slice(0, 20)}, not ${expectedKeys.slice(0, 20)}`;
  for (const key of keys) {
    const inner = difference(found[key], expected[key], `${path}.${key}`);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
