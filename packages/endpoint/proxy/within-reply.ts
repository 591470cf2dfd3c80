/**
 * A lane was lost in the middle of a reply: what is missing cannot be had again, so the client's
 * connection ends. With which reason depends on why the lane was lost, and its end does not say that.
 * A dead engine is one cause. The other is a living one that had more to say on that connection than
 * its `client-output-buffer-limit`: then it is the client that does not read. The engine counts those,
 * since it started; so it is asked, on another connection.
 */
import type { Lane } from './lane.ts';
import { LANE_RETRY_MS, WITHIN_REPLY_MS } from './limits.ts';
import type { Session } from './session.ts';

export const WITHIN_REPLY = 'shard-lost-within-reply';

/** What the engine's end of a connection looks like; ours have other reasons. */
const BY_ENGINE = /^(?:closed by the engine$|read |write )/;

export function endWithin(lane: Lane, session: Session, reason: string): void {
  if (session.gone) return;
  if (!BY_ENGINE.test(reason)) return session.end(WITHIN_REPLY);
  // Nothing more is read from it, and the half reply keeps everything else back.
  session.endWhenQuiet(WITHIN_REPLY);
  const { shard, login } = lane;
  const group = shard.group({ ...login, protocol: 2, tracking: null, noTouch: false });
  const until = performance.now() + WITHIN_REPLY_MS;
  const ask = (): void => {
    if (session.gone) return;
    if (performance.now() > until) return session.end(WITHIN_REPLY);
    const via = shard.smallLane(group);
    if (via === null) {
      setTimeout(ask, LANE_RETRY_MS);
      return;
    }
    if (via.node !== lane.node) return session.end(WITHIN_REPLY);
    via.question(['INFO', 'stats'], (reply) => {
      session.end(reply !== null && overflowed(reply) ? 'output-buffer-limit' : WITHIN_REPLY);
    });
  };
  ask();
}

/** Who may not ask knows at least that the engine lives. */
function overflowed(reply: Buffer): boolean {
  const text = reply.toString('latin1');
  return text.startsWith('-') || /client_output_buffer_limit_disconnections:[1-9]/.test(text);
}
