/** What a client has sent behind a command that has to wait. */
import { BEHIND_BLOCKED_BYTES } from './limits.ts';
import { NOTHING } from './partial.ts';

export class KeptInput {
  bytes: Buffer | null = null;
  /** Nothing comes behind it: the client has closed its side. */
  last = false;

  /** Copies what has come meanwhile. */
  add(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes ?? NOTHING, chunk]);
  }

  take(): Buffer | null {
    const { bytes } = this;
    this.bytes = null;
    return bytes;
  }

  /** Enough is kept: more stays in the kernel, and with it the news that the client has closed. */
  get full(): boolean {
    return this.bytes !== null && this.bytes.length > BEHIND_BLOCKED_BYTES;
  }
}
