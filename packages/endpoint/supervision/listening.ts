/**
 * The listening sockets: one for each worker and address, all in one reusePort group.
 *
 * The kernel spreads new connections over the sockets of such a group, and each socket has its own
 * accept queue. Closing a socket resets what is in its queue, so a worker must never be the one who
 * owns it: the supervisor holds every socket open for its whole life and only lends it. When a
 * worker dies its queue goes on filling; the successor is lent the same socket and takes over the
 * same queue. The supervisor itself never listens on what it holds (it would accept then): it binds,
 * and the first worker's listen() makes it a listening socket for everybody who shares it.
 *
 * A reusePort group has no door: any process of this user can join it unseen. So an address is
 * first claimed without reusePort, which fails if anybody listens there, and who it is gets named.
 *
 * Node's public BoundSocket moves with the message (the sender loses it), and an owner must keep.
 * The handle that `cluster` itself lends is the one that can be sent again and again.
 *
 * When the supervisor itself dies, its workers serve on and still hold every socket. The next one is
 * started by one of them and inherits the sockets, so that the old queues go on: nothing is claimed,
 * bound or closed, and its workers accept beside the old ones before those leave.
 */
import net, { isIP } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { InheritedSocket } from '../inherited.ts';
import type { ListenFailure } from '../supervisor-protocol.ts';
import { portOwner } from './port-owner.ts';

const IPV6_ONLY = 1;
const REUSE_PORT = 2;

/** A bound TCP socket as `child_process` can send it. */
export interface BoundHandle {
  getsockname(out: object): number;
  close(): void;
}

interface HandleMaker {
  _createServerHandle(
    host: string | null,
    port: number | null,
    family: 4 | 6 | null,
    fd: number | undefined,
    flags: number,
  ): BoundHandle | number;
}

const maker = net as unknown as HandleMaker;

export interface Address {
  readonly host: string;
  readonly port: number;
}

interface Open {
  readonly address: Address;
  /** By worker slot. All the same handle where the system has no reusePort. */
  readonly handles: BoundHandle[];
  readonly shared: boolean;
}

export class Listening {
  #open = new Map<string, Open>();
  /** By address, until the first word of what is wanted. */
  readonly #inherited = new Map<string, BoundHandle[]>();
  /** For how many workers there are sockets now. */
  slots = 0;

  constructor(inherited: readonly InheritedSocket[] = []) {
    for (const { address, fd } of inherited) {
      const handle = maker._createServerHandle(null, null, null, fd, 0);
      if (typeof handle === 'number') {
        throw new Error(
          `descriptor ${fd} is no socket for ${address}: ${getSystemErrorName(handle)}`,
        );
      }
      this.#inherited.set(address, [...(this.#inherited.get(address) ?? []), handle]);
    }
  }

  /** The socket that this worker shares with its predecessors; null when the address is not open. */
  handle(name: string, slot: number): BoundHandle | null {
    const open = this.#open.get(name);
    if (open === undefined) return null;
    return open.shared ? (open.handles[0] ?? null) : (open.handles[slot] ?? null);
  }

  names(): string[] {
    return [...this.#open.keys()];
  }

  /** Makes the open addresses these, with a socket for each of `slots` workers. */
  reconcile(wanted: ReadonlyMap<string, Address>, slots: number): ListenFailure[] {
    for (const [name, open] of this.#open) {
      if (!wanted.has(name)) this.#close(name, open);
    }
    this.slots = slots;
    const failed: ListenFailure[] = [];
    for (const [name, address] of wanted) {
      const reason = this.#ensure(name, address, slots);
      if (reason !== null) failed.push({ address: name, reason });
    }
    this.#disown();
    return failed;
  }

  close(): void {
    this.#disown();
    for (const [name, open] of this.#open) this.#close(name, open);
  }

  /** Nobody wants these any more. */
  #disown(): void {
    for (const handle of [...this.#inherited.values()].flat()) handle.close();
    this.#inherited.clear();
  }

  #close(name: string, open: Open): void {
    this.#open.delete(name);
    for (const handle of open.handles) handle.close();
  }

  #ensure(name: string, address: Address, slots: number): string | null {
    const open = this.#open.get(name);
    // Which slot had which queue before does not matter: each needs one worker that accepts.
    const inherited = this.#inherited.get(name) ?? [];
    this.#inherited.delete(name);
    if (open === undefined && inherited.length === 0) {
      const problem = claim(address);
      if (problem !== null) return problem;
    }
    const handles = open?.handles ?? inherited;
    let shared = open?.shared ?? false;
    while (handles.length < slots && !(shared && handles.length === 1)) {
      let handle = bind(address, REUSE_PORT);
      if (handle === 'ENOTSUP' && handles.length <= 1) {
        shared = true;
        if (handles.length === 1) break; // inherited
        handle = bind(address, 0);
      }
      if (typeof handle === 'string') {
        if (open === undefined) for (const made of handles) made.close();
        return reasonOf(handle, address);
      }
      handles.push(handle);
    }
    // A socket without a worker would go on taking its part of the connections.
    for (const surplus of handles.splice(shared ? 1 : slots)) surplus.close();
    this.#open.set(name, { address, handles, shared });
    return null;
  }
}

/** Null when nobody else listens there now; else why not, with the owner's name where known. */
export function claim(address: Address): string | null {
  if (isIP(address.host) === 0) {
    return `not-an-address: '${address.host}' is not a numeric IP address`;
  }
  const handle = bind(address, 0);
  if (typeof handle === 'string') return reasonOf(handle, address);
  handle.close();
  return null;
}

function bind(address: Address, flags: number): BoundHandle | string {
  const family = isIP(address.host) === 6 ? 6 : 4;
  const made = maker._createServerHandle(
    address.host,
    address.port,
    family,
    undefined,
    flags | (family === 6 ? IPV6_ONLY : 0),
  );
  if (typeof made === 'number') return getSystemErrorName(made);
  // libuv keeps EADDRINUSE for the next call on the socket: make that call now.
  const late = made.getsockname({});
  if (late === 0) return made;
  made.close();
  return getSystemErrorName(late);
}

function reasonOf(code: string, address: Address): string {
  if (code === 'EADDRINUSE') {
    const owner = portOwner(address.port);
    return `port-taken: port ${address.port} is held by ${owner ?? 'an unknown process'}`;
  }
  if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') {
    return `no-such-address: this machine has no address ${address.host}`;
  }
  if (code === 'EACCES') {
    return `port-forbidden: port ${address.port} needs a right that this user does not have`;
  }
  return `bind-failed: ${code} for ${address.host} port ${address.port}`;
}
