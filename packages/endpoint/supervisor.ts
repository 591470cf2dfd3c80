/**
 * Entry of the supervisor process: `node supervisor.ts <run folder> [inherited addresses]`. Started detached, in its own
 * process group; a Ctrl-C meant for the control process does not reach it.
 */
import { flushCompileCache } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { inheritedSockets } from './inherited.ts';
import { EXIT_GRACE_MS } from './limits.ts';
import { messageOf, say } from './say.ts';
import { Supervisor } from './supervision/supervisor.ts';
import { SUPERVISOR_SOCKET } from './supervisor-protocol.ts';

process.umask(0o177); // sockets are 0600 from the moment they exist
const folder = process.argv[2];
if (folder === undefined) {
  say('supervisor', 'no run folder given; this process is started by the control process');
  process.exit(2);
}
if (await answers(join(folder, SUPERVISOR_SOCKET))) {
  say('supervisor', `another supervisor serves ${folder}; leaving`);
  process.exit(3);
}
const supervisor = new Supervisor(folder, inheritedSockets(process.argv[3]), () => process.exit(0));
let stopping = false;
process.on('SIGTERM', () => {
  if (stopping) process.exit(1);
  stopping = true;
  void supervisor.stop(EXIT_GRACE_MS);
});
process.on('SIGHUP', () => {}); // the terminal is not ours
process.on('SIGINT', () => {}); // an orderly stop comes over the socket
try {
  await supervisor.listen();
  say('supervisor', `serving ${folder}`);
  flushCompileCache();
} catch (error) {
  say('supervisor', `cannot serve ${folder}: ${messageOf(error)}`);
  process.exit(1);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('connect', () => {
      resolve(true);
      socket.destroy();
    });
    socket.on('error', () => resolve(false));
  });
}
