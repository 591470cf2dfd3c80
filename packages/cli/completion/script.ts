/**
 * Completion scripts. The words are fixed when the script is made (commands, options and the values
 * that an option has to choose from do not depend on what runs); names of caches and SKUs are asked
 * for, and nothing is completed in their place when Cinnabar does not run.
 */
import type { Command, Option } from 'commander';

/** What may follow an option: one of these words, a name that is asked for, or anything. */
type Values = readonly string[] | 'skus' | 'caches' | 'any';

interface Node {
  /** 'cinnabar keys list' */
  readonly path: string;
  readonly words: readonly {
    readonly word: string;
    readonly text: string;
    /** Absent: it is followed by no value. */
    readonly values?: Values;
  }[];
  /** Its first argument is the name of a cache. */
  readonly takesName: boolean;
}

function optionWord(option: Option): Node['words'][number] {
  const word = { word: option.long ?? '', text: option.description };
  if (!option.required && !option.optional) return word;
  const [, named = ''] = /[<[](.+)[>\]]/.exec(option.flags) ?? [];
  if (option.argChoices !== undefined) return { ...word, values: option.argChoices };
  if (/^[a-z]+(\|[a-z]+)+$/.test(named)) return { ...word, values: named.split('|') };
  if (option.long === '--sku') return { ...word, values: 'skus' };
  return { ...word, values: option.long === '--for' && named === 'name' ? 'caches' : 'any' };
}

function walk(command: Command, path: string, globals: Node['words']): Node[] {
  const options = command.options
    .filter((option) => !option.hidden && option.long !== undefined)
    .map(optionWord);
  const choices = command.registeredArguments
    .flatMap((argument) => argument.argChoices ?? [])
    .map((word) => ({ word, text: '' }));
  const children = command.commands.map((child) => ({ word: child.name(), text: child.summary() }));
  const first = command.registeredArguments[0]?.name();
  const own: Node = {
    path,
    words: [
      ...children,
      ...choices,
      ...options,
      ...(path.includes(' ') ? globals : []),
      { word: '--help', text: 'how to use it' },
    ],
    takesName: first === 'name' && command.name() !== 'create',
  };
  return [
    own,
    ...command.commands.flatMap((child) => walk(child, `${path} ${child.name()}`, globals)),
  ];
}

export function script(shell: 'bash' | 'zsh' | 'fish', root: Command): string {
  const globals = root.options
    .filter((option) => option.long === '--home' || option.long === '--json')
    .map(optionWord);
  const nodes = walk(root, root.name(), globals);
  return shell === 'fish' ? fish(nodes) : shell === 'zsh' ? zsh(nodes) : bash(nodes);
}

const named = (command: string): string =>
  `cinnabar ${command} --json 2>/dev/null | sed -n 's/^    "name": "\\(.*\\)",$/\\1/p'`;
const NAMES = named('list');
const SKUS = named('sku list');

/** Branches of `case` for what follows an option; `offer` says it in the language of the shell. */
function afterOptions(nodes: readonly Node[], offer: (values: Values) => string): string {
  const places = new Map<string, string[]>();
  for (const { path, words } of nodes) {
    for (const { word, values } of words) {
      if (values === undefined) continue;
      const offered = offer(values);
      places.set(offered, [...(places.get(offered) ?? []), `'${path} ${word}'`]);
    }
  }
  return [...places].map(([offered, at]) => `    ${at.join(' | ')}) ${offered} ;;`).join('\n');
}

/** A branch of `case` that goes one step down the tree for each path that there is. */
function steps(nodes: readonly Node[]): string {
  const paths = nodes.slice(1).map((node) => `'${node.path}'`);
  return `${paths.join(' | ')}) route="$candidate" ;;`;
}

/** Walks the words typed so far down the tree; options do not count. */
function bash(nodes: readonly Node[]): string {
  const cases = nodes.map(
    (node) =>
      `    '${node.path}') offered='${node.words.map((w) => w.word).join(' ')}'; names=${node.takesName ? 1 : 0} ;;`,
  );
  return `# cinnabar completion for bash
_cinnabar() {
  local cur prev route word offered names candidate
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD - 1]}"
  # Of --option=value bash makes three words.
  if [ "$cur" = = ]; then cur=''; fi
  if [ "$prev" = = ]; then prev="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  route=cinnabar
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    candidate="$route $word"
    case "$candidate" in
      ${steps(nodes)}
    esac
  done
  offered='' names=0
  case "$route $prev" in
${afterOptions(nodes, bashValues)}
    *) case "$route" in
${cases.join('\n')}
    esac ;;
  esac
  if [ "$names" = 1 ] && [ "\${cur#-}" = "$cur" ]; then offered="$offered $(${NAMES})"; fi
  COMPREPLY=($(compgen -W "$offered" -- "$cur"))
}
complete -o default -F _cinnabar cinnabar
`;
}

function bashValues(values: Values): string {
  if (values === 'any') return ':';
  if (values === 'caches') return 'names=1';
  return values === 'skus' ? `offered="$(${SKUS})"` : `offered='${values.join(' ')}'`;
}

/**
 * The same for zsh. A file in `fpath` is run as the function that it is named after, at the first use:
 * then it has to complete at once, not only to define what will complete the next time.
 */
function zsh(nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, words, takesName }) => {
    const offered = words.map(({ word, text }) => `'${word}:${text.replaceAll("'", '’')}'`);
    return `    '${path}') offered=(${offered.join(' ')}); names=${takesName ? 1 : 0} ;;`;
  });
  return `#compdef cinnabar
# cinnabar completion for zsh
_cinnabar() {
  local route=cinnabar word candidate names=0
  local -a offered
  for word in "\${(@)words[2,CURRENT-1]}"; do
    candidate="$route $word"
    case "$candidate" in
      ${steps(nodes)}
    esac
  done
  case "$route $words[CURRENT-1]" in
${afterOptions(nodes, zshValues)}
    *) case "$route" in
${cases.join('\n')}
    esac ;;
  esac
  if [[ $names = 1 && "$words[CURRENT]" != -* ]]; then compadd -- \${(f)"$(${NAMES})"}; fi
  _describe cinnabar offered || _files
}
if [[ "$funcstack[1]" = _cinnabar ]]; then _cinnabar "$@"; else compdef _cinnabar cinnabar; fi
`;
}

function zshValues(values: Values): string {
  if (values === 'any') return ':';
  if (values === 'caches') return 'names=1';
  return values === 'skus' ? `offered=(\${(f)"$(${SKUS})"})` : `offered=(${values.join(' ')})`;
}

function fishValues(values: Values | undefined): string {
  if (values === undefined) return '';
  if (values === 'any') return ' -r -F';
  if (values === 'caches') return " -x -a '(__cinnabar_names)'";
  return ` -x -a '${values === 'skus' ? '(__cinnabar_skus)' : values.join(' ')}'`;
}

function fish(nodes: readonly Node[]): string {
  const asking = (name: string, command: string): string[] => [
    `function ${name}`,
    `  command -q cinnabar; and cinnabar ${command} --json 2>/dev/null | string replace -rf '^    "name": "(.*)",$' '$1'`,
    'end',
  ];
  const lines = [
    '# cinnabar completion for fish',
    ...asking('__cinnabar_names', 'list'),
    ...asking('__cinnabar_skus', 'sku list'),
    'complete -c cinnabar -f',
  ];
  for (const node of nodes) {
    const parts = node.path.split(' ').slice(1);
    const children = nodes
      .filter((other) => other.path.startsWith(`${node.path} `))
      .map((other) => other.path.split(' ')[parts.length + 1] ?? '');
    const condition =
      parts.length === 0
        ? '__fish_use_subcommand'
        : [
            ...parts.map((part) => `__fish_seen_subcommand_from ${part}`),
            ...(children.length > 0
              ? [`not __fish_seen_subcommand_from ${[...new Set(children)].join(' ')}`]
              : []),
          ].join('; and ');
    for (const { word, text, values } of node.words) {
      const what = word.startsWith('--')
        ? `-l ${word.slice(2)}${fishValues(values)}`
        : `-a ${word}`;
      lines.push(
        `complete -c cinnabar -n '${condition}' ${what} -d '${text.replaceAll("'", '’')}'`,
      );
    }
    if (node.takesName)
      lines.push(`complete -c cinnabar -n '${condition}' -a '(__cinnabar_names)'`);
  }
  return lines.join('\n');
}
