/**
 * What the parent of the control process does next, as a function of what happened.
 *
 * The parent exists because databases of one or two shards do not heal while control is away: so
 * something must always start it again. It must be simpler than what it watches, hence a table of
 * five states and no effect in this file.
 *
 * Two things are easy to get wrong. A Ctrl-C arrives two or three times (the terminal signals the
 * whole process group, npm and the `bin` shim pass theirs on), so a second signal within two seconds
 * is the same one, and only a later one means "at once". And a stop that is asked for while control
 * is down between two starts must still stop the engines, which go on without it: so control is
 * started once more, in order to be stopped.
 */
import {
  HEALTHY_AFTER_MS,
  MAX_BOOT_CRASHES,
  RESTART_FIRST_MS,
  RESTART_LAST_MS,
  RESTART_SERVED_MS,
  SAME_SIGNAL_MS,
} from '../limits.ts';

export type Phase =
  /** Control runs and has not said `ready`. */
  | 'booting'
  /** Control runs and serves. */
  | 'serving'
  /** Control crashed; the next start is due after the pause. */
  | 'pausing'
  /** Control was told to stop, or said that it does. */
  | 'stopping'
  /** A fatal error was reported; its exit is awaited. */
  | 'failing'
  /** A stop was refused; control ends, and the next one takes over what goes on. */
  | 'reviving'
  | 'ended';

export interface Life {
  readonly phase: Phase;
  /** Crashes in a row, without a healthy run between them. */
  readonly crashes: number;
  /** True once any start of this parent reached `ready`: after that it never gives up. */
  readonly served: boolean;
  readonly spawnedAt: number;
  /** When the first stop signal came. */
  readonly stopAt: number | null;
}

/** Of control. Null: ended by a signal; or the system did not start it at all. */
export type EndCode = number | null | 'not-started';

export type Happening =
  | { readonly type: 'signal' }
  | { readonly type: 'ready' }
  /** `passing`: what is wrong may end by itself, as a full disk does. */
  | { readonly type: 'fatal'; readonly passing: boolean }
  /** Control stops because the API told it so. */
  | { readonly type: 'stopping' }
  /** It would have lost data; control ends all the same. */
  | { readonly type: 'stop-refused' }
  | { readonly type: 'pause-over' }
  /** `held`: caches that could not be saved go on. */
  | {
      readonly type: 'exit';
      readonly code: EndCode;
      readonly stopped: boolean;
      readonly held?: boolean;
    };

export type Act =
  | { readonly act: 'spawn' }
  | { readonly act: 'pause'; readonly ms: number }
  | { readonly act: 'stop'; readonly now: boolean }
  /** Kill control after a grace, if it is still there. */
  | { readonly act: 'kill-later' }
  | { readonly act: 'say-crashed'; readonly pauseMs: number; readonly code: EndCode }
  | { readonly act: 'say-gave-up' }
  | { readonly act: 'exit'; readonly how: 'stopped' | 'held' | 'fatal' | 'gave-up' | 'unclean' };

const BORN: Life = {
  phase: 'booting',
  crashes: 0,
  served: false,
  spawnedAt: 0,
  stopAt: null,
};

export function begin(now: number): { life: Life; acts: readonly Act[] } {
  return { life: { ...BORN, spawnedAt: now }, acts: [{ act: 'spawn' }] };
}

export function next(
  life: Life,
  happening: Happening,
  now: number,
): { life: Life; acts: readonly Act[] } {
  switch (happening.type) {
    case 'signal':
      return signalled(life, now);
    case 'ready':
      // A stop that came during the boot was already sent; only the phase of a live one changes.
      return life.phase === 'booting'
        ? { life: { ...life, phase: 'serving', served: true }, acts: [] }
        : { life, acts: [] };
    case 'fatal':
      // One that served is wanted back when there is room again: its exit is a crash like others.
      if (happening.passing && life.served && life.phase === 'booting') return { life, acts: [] };
      return { life: { ...life, phase: 'failing' }, acts: [] };
    case 'stopping':
      return { life: { ...life, phase: 'stopping' }, acts: [] };
    case 'stop-refused':
      return { life: { ...life, phase: 'reviving' }, acts: [] };
    case 'pause-over':
      return life.phase === 'pausing'
        ? { life: { ...life, phase: 'booting', spawnedAt: now }, acts: [{ act: 'spawn' }] }
        : { life, acts: [] };
    case 'exit':
      return exited(life, happening, now);
  }
}

function signalled(life: Life, now: number): { life: Life; acts: readonly Act[] } {
  if (life.phase === 'ended') return { life, acts: [] };
  // It reported a fatal error and is on its way out; should it hang there, it is killed.
  if (life.phase === 'failing') return { life, acts: [{ act: 'kill-later' }] };
  if (life.stopAt !== null) {
    if (now - life.stopAt < SAME_SIGNAL_MS) return { life, acts: [] };
    return { life, acts: [{ act: 'stop', now: true }, { act: 'kill-later' }] };
  }
  // Asked for when its exit comes.
  if (life.phase === 'reviving') return { life: { ...life, stopAt: now }, acts: [] };
  const stopping: Life = { ...life, phase: 'stopping', stopAt: now };
  if (life.phase === 'pausing')
    return { life: { ...stopping, spawnedAt: now }, acts: TO_BE_STOPPED };
  // The API may have asked for the stop already; a second order of the same kind changes nothing.
  return { life: stopping, acts: [{ act: 'stop', now: false }] };
}

function exited(
  life: Life,
  exit: Extract<Happening, { type: 'exit' }>,
  now: number,
): { life: Life; acts: readonly Act[] } {
  const ended: Life = { ...life, phase: 'ended' };
  if (exit.stopped) {
    return { life: ended, acts: [{ act: 'exit', how: exit.held === true ? 'held' : 'stopped' }] };
  }
  if (life.phase === 'reviving') return revived(life, now);
  if (life.phase === 'failing') return { life: ended, acts: [{ act: 'exit', how: 'fatal' }] };
  // Crashed or killed while stopping: what it had not ended yet still runs.
  if (life.phase === 'stopping') return { life: ended, acts: [{ act: 'exit', how: 'unclean' }] };
  const healthy = now - life.spawnedAt >= HEALTHY_AFTER_MS;
  const crashes = healthy ? 1 : life.crashes + 1;
  if (!life.served && crashes >= MAX_BOOT_CRASHES) {
    return { life: ended, acts: [{ act: 'say-gave-up' }, { act: 'exit', how: 'gave-up' }] };
  }
  const longest = life.phase === 'serving' ? RESTART_SERVED_MS : RESTART_LAST_MS;
  const ms = Math.min(longest, pauseBefore(crashes));
  return {
    life: { ...life, phase: 'pausing', crashes },
    acts: [
      { act: 'say-crashed', pauseMs: ms, code: exit.code },
      { act: 'pause', ms },
    ],
  };
}

/** A refused stop is no crash: the next one starts at once. A signal came meanwhile: it is stopped, too. */
function revived(life: Life, now: number): { life: Life; acts: readonly Act[] } {
  const phase = life.stopAt === null ? 'booting' : 'stopping';
  const acts = life.stopAt === null ? ([{ act: 'spawn' }] as const) : TO_BE_STOPPED;
  return { life: { ...life, phase, spawnedAt: now }, acts };
}

const TO_BE_STOPPED: readonly Act[] = [{ act: 'spawn' }, { act: 'stop', now: false }];

/** 0.2, 0.4, 0.8, ... 10 s. */
export function pauseBefore(crashes: number): number {
  return Math.min(RESTART_LAST_MS, RESTART_FIRST_MS * 2 ** (crashes - 1));
}
