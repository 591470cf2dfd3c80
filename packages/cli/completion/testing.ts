/** What a shell completes a line to, by the script that `cinnabar completion` prints. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export type Shell = 'bash' | 'zsh' | 'fish';

export function installed(shell: Shell): boolean {
  return (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(path.join(dir, shell)));
}

/**
 * Whatever the shell offers for a line that was typed so far. zsh completes only in a terminal: it gets
 * one, with the script where its users put it, presses Tab and shows what then stands on the line.
 */
export function completions(
  shell: Shell,
  script: string,
  line: string,
  env: NodeJS.ProcessEnv,
): string[] {
  const folder = mkdtempSync(path.join(tmpdir(), 'comp-'));
  const file = path.join(folder, '_cinnabar');
  writeFileSync(file, script);
  try {
    const { program, text } = asking[shell](folder, file, line);
    const args = shell === 'bash' ? ['-c', text] : [NO_CONFIG[shell], '-c', text];
    const said = execFileSync(program, args, {
      env,
      timeout: 30_000,
      // Not a socket: bash takes that for a login from another machine and reads `.bashrc`.
      stdio: ['ignore', 'pipe', 'inherit'],
    }).toString();
    return said
      .split('\n')
      .map((offer) => offer.split('\t')[0]?.trim() ?? '')
      .filter(Boolean);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const NO_CONFIG = { zsh: '-f', fish: '--no-config' };

const asking = {
  bash: (_folder: string, file: string, line: string) => {
    const words = line.split(' ').map((word) => `'${word}'`);
    return {
      program: 'bash',
      text: `. ${file}; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _cinnabar; printf '%s\\n' "\${COMPREPLY[@]}"`,
    };
  },
  fish: (_folder: string, file: string, line: string) => ({
    program: 'fish',
    text: `source ${file}; complete -C '${line}'`,
  }),
  zsh: (folder: string, _file: string, line: string) => ({
    program: 'zsh',
    text: `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; unsetopt zle_bracketed_paste; fpath=(${folder} \\$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w z "show() { print -r -- \\"<<\\$BUFFER>>\\"; BUFFER= }; zle -N show; bindkey '^X' show; print rea''dy"
zpty -r z seen '*ready*'
zpty -w -n z '${line}'$'\\t\\x18'
zpty -r z seen '*<<*>>*'
print -r -- \${\${seen##*<<}%%>>*}
zpty -d z`,
  }),
} as const;
