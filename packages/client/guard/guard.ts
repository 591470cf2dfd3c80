export interface GuardOptions {
  readonly mode?: 'throw' | 'warn' | 'off';
}
