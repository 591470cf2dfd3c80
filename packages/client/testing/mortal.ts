import type { Redis } from 'ioredis';

/** A client whose process dies at its n-th command: that one may still reach the server, or not. */
export function mortal(
  redis: Redis,
  commands: number,
  lastArrives: boolean,
  died: () => void,
): Redis {
  let left = commands;
  const view: Redis = Object.create(redis);
  Object.defineProperty(view, 'callBuffer', {
    value: (...args: [string, ...string[]]) => {
      left -= 1;
      if (left > 0) return redis.callBuffer(...args);
      if (left === 0 && lastArrives) redis.callBuffer(...args).catch(() => {});
      died();
      return new Promise(() => {});
    },
  });
  return view;
}
