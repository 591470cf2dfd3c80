/** A connection to a watched engine together with its first answer. One that gives none is closed again. */
import type { EngineFacts, EngineLink, EngineLogin } from '../../engine/contract.ts';
import type { ExecutorDeps } from './deps.ts';
import { FACTS_DEADLINE_MS, LINK_DEADLINE_MS } from './limits.ts';

export interface FirstAnswer {
  readonly link: EngineLink;
  readonly facts: EngineFacts;
  /** In ticks. */
  readonly askedAt: number;
}

/** `first`: settings that must hold before anything is read (engine rule 28). Rejects with EngineError. */
export async function firstAnswer(
  { node, clock }: Pick<ExecutorDeps, 'node' | 'clock'>,
  socket: string,
  login: EngineLogin,
  first: Readonly<Record<string, string>>,
): Promise<FirstAnswer> {
  const link = await node.link(socket, login, LINK_DEADLINE_MS);
  try {
    if (Object.keys(first).length > 0) await link.configure(first, LINK_DEADLINE_MS);
    const askedAt = clock.ticks();
    return { link, facts: await link.facts(FACTS_DEADLINE_MS), askedAt };
  } catch (error) {
    link.close();
    throw error;
  }
}
