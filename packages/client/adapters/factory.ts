/** Further clients from the application's factory, which may throw, or give what is no new client. */
import { FactoryError, messageOf } from '../errors.ts';

/** Clients that are a lane's already. */
const taken = new WeakSet<object>();

export function take<T extends object>(client: T): T {
  taken.add(itself(client));
  return client;
}

/** node-redis hands out views of a client: `_self` is the one behind them. */
function itself(client: object): object {
  const self: unknown = '_self' in client ? client._self : client;
  return typeof self === 'object' && self !== null ? self : client;
}

export function fresh<T extends object>(
  factory: () => unknown,
  is: (made: unknown) => made is T,
): T {
  let made: unknown;
  try {
    made = factory();
  } catch (error) {
    throw new FactoryError(`threw: ${messageOf(error)}`, error);
  }
  if (made instanceof Promise) throw new FactoryError('gave a promise instead of a client');
  if (!is(made)) throw new FactoryError('gave something else than a client of the same library');
  if (taken.has(itself(made))) throw new FactoryError('gave a client that it had given before');
  return take(made);
}
