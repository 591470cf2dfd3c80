/** The same, for lives in which planned switches follow each other and are disturbed. */
export const KEPT_SWITCH_SEEDS: readonly (readonly [seed: number, found: string])[] = [
  [104, 'a switch was undone before the old primary was asked: it had been demoted already'],
  [50000, 'the primary of a shard that was to go was kept for ever, without a pause'],
  [121, 'the old primary was believed by what it had said before its successor died'],
];

/** Seeds that once failed, each with what it found. They are run for ever. */
export const KEPT_SEEDS: readonly (readonly [seed: number, found: string])[] = [
  [3, 'a replica that was in sync, but not yet recorded so, was passed over for an empty start'],
  [13, 'a shard whose first primary died before it served waited for the user for ever'],
  [15, 'an empty first primary was taken for an older copy'],
  [22, 'a stop asked for the file of a database that was half deleted'],
  [56, 'a shard gave up on facts that were older than the death of its primary'],
  [60, 'after a restart nobody told the loop that the endpoint was told'],
  [70, 'a create that timed out after it had served removed acknowledged data'],
  [17, 'a flush of a shard that was down kept the loop turning without a pause'],
  [192, 'a first start was still on its way when its shard was decided'],
  [700143, 'a successor that did not answer was fenced although it was the last copy'],
  [800021, 'a primary that the engines had elected was overlooked while its shard was down'],
  [800270, 'a replica that was to leave was forgotten when its primary died'],
  [5001, 'the file of a stop was used up by a start that ended before it was recorded to serve'],
  [6000, 'the same, in a cluster with several shards'],
  [414437248, 'a hung primary was fenced for the sake of a replica that was dead already'],
  [5040, 'a write was confirmed by a copy of the shard that had handed its slot over'],
];

/** Seeds with many times the trouble; some fail only where the trouble ends after so many steps. */
export const KEPT_STORM_SEEDS: readonly (readonly [seed: number, found: string, steps?: number])[] =
  [
    [
      1317454671,
      'writes stayed paused when the end of a pause that a stop had left was not answered',
      2_500,
    ],
    [5022, 'an orderly stop broke off when a delete ended in the middle of it'],
    [
      1800865,
      'a loop turned before it was known what runs, and ended an engine that was being adopted',
    ],
  ];

/** Lives in which slots travel and primaries die right behind them. */
export const KEPT_SCALING_SEEDS: readonly (readonly [seed: number, found: string])[] = [
  [204, 'a replica that had not heard where slots went took them back when it took over'],
  [110, 'the same, and the new owner let go of them'],
];
