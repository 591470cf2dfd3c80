/** `cinnabar completion bash|zsh|fish`: the script is made from the tree of commands. */
import { Argument, Command } from 'commander';
import { script } from '../completion/script.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export function completionCommand(): Command {
  const command = new Command('completion')
    .summary('completion for your shell')
    .addArgument(new Argument('<shell>', 'which shell').choices([...SHELLS]))
    .addHelpText(
      'after',
      `
Examples:
  cinnabar completion bash > ~/.local/share/bash-completion/completions/cinnabar
  cinnabar completion zsh  > "\${fpath[1]}/_cinnabar"
  cinnabar completion fish > ~/.config/fish/completions/cinnabar.fish`,
    );
  return command.action(
    action((context: Context, shell: (typeof SHELLS)[number]) => {
      let root: Command = command;
      while (root.parent !== null) root = root.parent;
      context.output.line(script(shell, root).trimEnd());
    }),
  );
}
