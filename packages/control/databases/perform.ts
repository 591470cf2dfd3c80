/** From an action's name to the step that does it. */
import type { Action } from '../plan/model.ts';
import { reach } from './failpoints.ts';
import type { DatabaseLoop } from './loop.ts';
import { addReplica, layOut } from './steps/allocate.ts';
import { arrange, endArrange } from './steps/arrange.ts';
import { configure, follow, meet, noteCopy } from './steps/converge.ts';
import { handOver } from './steps/handover.ts';
import { endHandover, finishHandover, undoHandover } from './steps/handover-end.ts';
import { endMaintenance, renew, wishHandover } from './steps/maintain.ts';
import {
  beginMove,
  cancelMove,
  claimSlots,
  endMove,
  endScaling,
  noteSlots,
} from './steps/move-slots.ts';
import { dismiss, keep, removeDatabase, removeInstance } from './steps/remove.ts';
import { adopt, crown, giveUp, promote } from './steps/roles.ts';
import { settle } from './steps/settle.ts';
import { addShards, admit, removeShard, retireShard } from './steps/shards.ts';
import { fence, start } from './steps/start.ts';

/** Every action passes the same two failpoints, so a new one is tested against crashes unasked. */
export async function perform(loop: DatabaseLoop, action: Action): Promise<void> {
  await reach(`${action.kind}:before`);
  await act(loop, action);
  await reach(`${action.kind}:after`);
}

function act(loop: DatabaseLoop, action: Action): Promise<void> {
  switch (action.kind) {
    case 'lay-out':
      return layOut(loop);
    case 'add-replica':
      return addReplica(loop, action.shard);
    case 'start':
      return start(loop, action.instance, action.as);
    case 'fence':
      return fence(loop, action.instance, action.reason);
    case 'promote':
      return promote(loop, action.shard, action.instance);
    case 'crown':
      return crown(loop, action.shard, action.instance);
    case 'hand-over':
      return handOver(loop, action.shard, action.instance);
    case 'finish-handover':
      return finishHandover(loop, action.shard);
    case 'undo-handover':
      return undoHandover(loop, action.shard, action.reason);
    case 'wish-handover':
      return wishHandover(loop, action.shard, action.instance);
    case 'renew':
      return renew(loop, action.instance);
    case 'end-maintenance':
      return endMaintenance(loop);
    case 'end-handover':
      return endHandover(loop, action.shard, action.problem);
    case 'adopt':
      return adopt(loop, action.shard, action.instance);
    case 'give-up':
      return giveUp(loop, action.shard, action.code, action.message);
    case 'follow':
      return follow(loop, action.instance, action.primary);
    case 'meet':
      return meet(loop, action.instance, action.through);
    case 'configure':
      return configure(loop, action.instance);
    case 'note-copy':
      return noteCopy(loop, action.instance, action.whole);
    case 'dismiss':
      return dismiss(loop, action.instance);
    case 'keep':
      return keep(loop, action.instance);
    case 'remove':
      return removeInstance(loop, action.instance);
    case 'remove-database':
      return removeDatabase(loop);
    case 'add-shards':
      return addShards(loop);
    case 'admit':
      return admit(loop, action.shard);
    case 'begin-move':
      return beginMove(loop, action);
    case 'end-move':
      return endMove(loop, action.moved, action.reason);
    case 'cancel-move':
      return cancelMove(loop);
    case 'note-slots':
      return noteSlots(loop, action.slots);
    case 'claim-slots':
      return claimSlots(loop, action.shard, action.ranges);
    case 'retire-shard':
      return retireShard(loop, action.shard);
    case 'remove-shard':
      return removeShard(loop, action.shard);
    case 'end-scaling':
      return endScaling(loop);
    case 'arrange':
      return arrange(loop, action.shard);
    case 'end-arrange':
      return endArrange(loop, action.reason);
    case 'settle':
      return settle(loop);
  }
}
