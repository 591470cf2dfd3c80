/**
 * Commands, and options of commands, that not every engine of the database understands now, or may have
 * to in a while: an upgrade is under way, or its way back is open. The engines' own rules refuse such
 * commands too, but cannot name an option, and a replica that does not know one loses the write without
 * a word. Nothing of this is in the way of a command unless such a time is.
 */
import { keyArguments, type NewerOptions, newerOption } from '../../resp/table/index.ts';
import type { NewerView } from '../control-protocol.ts';
import type { Call } from './dispatch.ts';
import { textOf } from './route.ts';

/** Longer than any option; what is cut is data. */
const LONGEST_WORD = 64;

interface Unknown {
  readonly engine: string;
  readonly of: NewerOptions;
  /** With no more arguments than these there is no option. */
  readonly required: number;
}

export class NewerWords {
  #because = '';
  /** To the engine that does not know it. */
  readonly #commands = new Map<string, string>();
  readonly #options = new Map<string, Unknown[]>();
  /** Something is refused. */
  active = false;

  set view(view: NewerView | undefined) {
    this.active = view !== undefined;
    this.#because = view?.because ?? '';
    this.#commands.clear();
    this.#options.clear();
    for (const { engine, commands, options } of view?.unknown ?? []) {
      for (const name of commands) this.#commands.set(name, engine);
      for (const of of options) {
        const required = of.known.filter(({ optional }) => optional !== true).length;
        const before = this.#options.get(of.command) ?? [];
        this.#options.set(of.command, [...before, { engine, of, required }]);
      }
    }
  }

  /** Commands that must not take the short way. */
  get commands(): ReadonlySet<string> {
    return new Set([...this.#commands.keys(), ...this.#options.keys()]);
  }

  /** Why this command is refused, by its full name alone; null: it is not. */
  name(name: string): string | null {
    const engine = this.#commands.get(name);
    return engine === undefined ? null : this.#refusal(spoken(name), engine);
  }

  /** Why this call is refused; null: it is not. */
  refusal({ command, bytes, args }: Pick<Call, 'command' | 'bytes' | 'args'>): string | null {
    const named = this.name(command.name);
    if (named !== null) return named;
    const options = this.#options.get(command.name);
    // What is answered here, the engines never see.
    if (options === undefined || command.fate.kind === 'local') return null;
    const first = command.name.includes('|') ? 2 : 1;
    // The plain SET, mostly.
    if (options.every(({ required }) => args.count - first <= required)) return null;
    const given: string[] = [];
    for (let i = first; i < args.count; i++) given.push(word(bytes, args, i));
    const keys = new Set(keyArguments(command, bytes, args));
    for (const { engine, of } of options) {
      const option = newerOption(of, given, (at) => keys.has(at + first));
      if (option !== null) return this.#refusal(`${option} of ${spoken(command.name)}`, engine);
    }
    return null;
  }

  #refusal(what: string, engine: string): string {
    return `-ERR newer-than-engine: ${what} is not known to ${engine}, and is refused while ${this.#because}\r\n`;
  }
}

function spoken(name: string): string {
  return name.replace('|', ' ').toUpperCase();
}

function word(bytes: Buffer, args: Call['args'], index: number): string {
  const long = (args.ends[index] ?? 0) - (args.starts[index] ?? 0) > LONGEST_WORD;
  return long ? DATA : textOf(bytes, args, index);
}

/** Stands for anything long. */
const DATA = '\0';
