/**
 * Writes with a WAIT behind each: which of them none has confirmed yet.
 *
 * WAIT answers for all that its connection has written, not for the write before it. So a write that was
 * answered with 0 (no replica has it yet) is still on its way: the next WAIT may confirm it. If its
 * primary dies before, none ever will, and the next one has to say so, whatever was written in between:
 * an error in answer to a write that is well. It is told once; what is written behind it is new.
 */
export class Unproven<Connection extends object> {
  /** When the first of them was due. */
  private readonly since = new Map<Connection, number>();

  /** A WAIT was answered with a number. */
  answered(connection: Connection, intended: number, confirmed: boolean): void {
    if (confirmed) this.since.delete(connection);
    else if (!this.since.has(connection)) this.since.set(connection, intended);
  }

  /** It was answered with an error: when the first write was due that this may be about. */
  refused(connection: Connection, intended: number): number {
    const since = this.since.get(connection) ?? intended;
    this.since.delete(connection);
    return since;
  }

  /** The connection has ended, and its client knows by that. */
  ended(connection: Connection): void {
    this.since.delete(connection);
  }
}
