/**
 * Slots that travel between two primaries (Valkey 9: CLUSTER MIGRATESLOTS), as typed facts. Pure.
 *
 * The engine answers OK when it has *accepted* a move, also where that can only fail; what became of
 * it is in CLUSTER GETSLOTMIGRATIONS (engine rule 24), which keeps finished moves as a log.
 */
import { type Reply, RespError } from '../resp/index.ts';
import type { SlotMoveFacts, SlotRange } from './contract.ts';

/** Null: this engine cannot move slots at all. Newest first, as the engine keeps them. */
export function parseSlotMoves(reply: Reply | undefined): SlotMoveFacts[] | null {
  if (reply instanceof RespError || !Array.isArray(reply)) return null;
  return reply.flatMap((entry) => {
    const fields = fieldsOf(entry);
    const name = fields.get('name');
    if (name === undefined) return [];
    return [
      {
        name,
        operation: fields.get('operation')?.toLowerCase() === 'import' ? 'import' : 'export',
        ranges: parseRanges(fields.get('slot_ranges') ?? ''),
        source: fields.get('source_node') ?? '',
        target: fields.get('target_node') ?? '',
        // Whole seconds, by the engine's own clock.
        createdAt: Number(fields.get('create_time') ?? 0) * 1000,
        state: fields.get('state') ?? 'unknown',
        message: fields.get('message') ?? '',
      } satisfies SlotMoveFacts,
    ];
  });
}

/** A map of RESP3 and a flat list of RESP2 say the same. */
function fieldsOf(entry: Reply): Map<string, string> {
  const fields = new Map<string, string>();
  if (!Array.isArray(entry)) return fields;
  for (let i = 0; i + 1 < entry.length; i += 2) fields.set(String(entry[i]), String(entry[i + 1]));
  return fields;
}

/** '0-63 100-100' */
function parseRanges(text: string): SlotRange[] {
  return text.split(' ').flatMap((part): SlotRange[] => {
    const match = /^(\d{1,5})-(\d{1,5})$/.exec(part);
    return match === null ? [] : [[Number(match[1]), Number(match[2])]];
  });
}

/**
 * How long the source holds writes for its target to take over: twice this, in ms. With the engine's own
 * 5 s it lets them go after 10 s also when it has granted the take-over and has just not heard of it yet
 * (gossip on a busy machine: seen after 29 s): it acknowledges them, and loses them when it hears (tried
 * with 9.1.2 and its gossip withheld). A target that ends is noticed by its connection, not by this.
 */
const HAND_OVER_HALF_MS = 60_000;

/** To be sent in one: whoever asks after them is answered after the move began. */
export function moveCommands(ranges: readonly SlotRange[], target: string): string[][] {
  const slots = ranges.flatMap(([first, last]) => [String(first), String(last)]);
  return [
    ['CONFIG', 'SET', 'cluster-manual-failover-timeout', String(HAND_OVER_HALF_MS)],
    ['CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', ...slots, 'NODE', target],
  ];
}

/** SETSLOT and FLUSHSLOT take no ranges. */
export function eachSlot(
  ranges: readonly SlotRange[],
  command: (slot: string) => string[],
): string[][] {
  return ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => command(String(first + i))),
  );
}
