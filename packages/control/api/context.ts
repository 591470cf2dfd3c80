/** What the API is given by whoever starts it. */
import type { SkuQuestion, SkuView } from '../resources/index.ts';
import type { ControlService } from '../service.ts';

export interface SkuSource {
  skus(question: SkuQuestion): SkuView[];
  /** What a cluster can scale to now. */
  skusForScaling(clusterId: string): { name: string; sizeInGB: number }[];
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface ApiContext {
  readonly service: ControlService;
  readonly skus: SkuSource;
  /** The installation's API token: the client secret of the token server, too. */
  readonly token: string;
  readonly now: () => number;
  /** Ends the control process in order; answered before it is called. */
  readonly stop: (options: { readonly save: boolean }) => void;
  readonly log: (level: LogLevel, message: string, data: Record<string, unknown>) => void;
}
