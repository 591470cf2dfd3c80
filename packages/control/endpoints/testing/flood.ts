/** A thread that opens many TLS connections at once and keeps them; ends with its parent. */
import { connect } from 'node:tls';
import { workerData } from 'node:worker_threads';

const { port, count } = workerData as { readonly port: number; readonly count: number };
for (let i = 0; i < count; i++) {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => undefined);
}
