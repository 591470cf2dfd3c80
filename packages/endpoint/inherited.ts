/**
 * The listening sockets that a supervisor got from the worker that started it: descriptors from
 * INHERITED_FROM on, and their addresses as one argument, a JSON list in the same order.
 */
const INHERITED_FROM = 3;

export interface InheritedSocket {
  readonly address: string;
  readonly fd: number;
}

/** Throws when the argument is not what a worker writes. */
export function inheritedSockets(argument: string | undefined): InheritedSocket[] {
  if (argument === undefined) return [];
  const addresses: unknown = JSON.parse(argument);
  if (!Array.isArray(addresses) || addresses.some((each) => typeof each !== 'string')) {
    throw new Error(`not a list of addresses: ${argument}`);
  }
  return addresses.map((address: string, i) => ({ address, fd: INHERITED_FROM + i }));
}
