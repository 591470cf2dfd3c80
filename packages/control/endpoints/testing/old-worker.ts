/** A worker of another time: it starts, says another protocol, and leaves when told to drain. */
import { createServer } from 'node:net';
import { encodeFrame } from '../../../endpoint/supervisor-protocol.ts';

process.on('message', (raw) => {
  const message = raw as { type: string; socket?: string };
  if (message.type === 'drain') process.exit(0);
  if (message.type !== 'start') return;
  const hello = { type: 'hello', protocol: 999, build: 'old', pid: process.pid };
  createServer((socket) => {
    socket.on('error', () => {});
    socket.write(encodeFrame(hello));
  }).listen(message.socket, () => process.send?.({ type: 'ready', epoch: 0 }));
});
