/** CLIENT TRACKING and its relatives. */
import { type Call, refuse } from './dispatch.ts';
import { array, bulk } from './raw-reply.ts';
import { TAKEN } from './session.ts';

export interface TrackingState {
  run(call: Call): number;
  leave(): void;
}

export function trackingCommand(call: Call, sub: string): number {
  const { session } = call;
  if (sub === 'getredir') {
    session.reply(':-1\r\n');
    return TAKEN;
  }
  if (sub === 'trackinginfo') {
    const items = [
      bulk('flags'),
      array([bulk('off')], session.state.protocol === 3 ? '~' : '*'),
      bulk('redirect'),
      Buffer.from(':-1\r\n'),
      bulk('prefixes'),
      array([]),
    ];
    session.reply(
      session.state.protocol === 3
        ? Buffer.concat([Buffer.from('%3\r\n'), ...items])
        : array(items),
    );
    return TAKEN;
  }
  return refuse(session, '-ERR tracking-unsupported: not offered by this endpoint yet\r\n');
}
