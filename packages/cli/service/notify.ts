/**
 * Tells systemd that the service answers (`Type=notify`), so that `systemctl start` comes back when it
 * does, or with what is wrong, and that a stop with much data is given its time. systemd's own program
 * says it: Node has no sockets of that kind.
 */
import { spawn } from 'node:child_process';

const VARIABLE = 'NOTIFY_SOCKET';
/** Taken from the environment at once: nothing that is started here may speak for the service. */
const socket = process.env[VARIABLE];
delete process.env[VARIABLE];

export function tellReady(): void {
  tell('--ready');
}

/** The stop that begins may take so long: until then systemd kills nobody. */
export function askForTime(ms: number): void {
  tell(`EXTEND_TIMEOUT_USEC=${ms * 1000}`);
}

function tell(what: string): void {
  if (socket === undefined) return;
  const env = { PATH: process.env['PATH'], [VARIABLE]: socket };
  spawn('systemd-notify', [what], { env, stdio: 'ignore' })
    // Then systemd gives up waiting after TimeoutStartSec, and its journal has this line.
    .once('error', (error) => process.stderr.write(`systemd-notify: ${error.message}\n`));
}
