/** One finding of the doctor. What is not `ok` always says what to do. */
export type Finding =
  | { readonly id: string; readonly title: string; readonly state: 'ok'; readonly detail: string }
  | {
      readonly id: string;
      readonly title: string;
      readonly state: 'warn' | 'fail';
      readonly detail: string;
      readonly remedy: string;
    };

export function ok(id: string, title: string, detail: string): Finding {
  return { id, title, state: 'ok', detail };
}

export function warn(id: string, title: string, detail: string, remedy: string): Finding {
  return { id, title, state: 'warn', detail, remedy };
}

export function fail(id: string, title: string, detail: string, remedy: string): Finding {
  return { id, title, state: 'fail', detail, remedy };
}
