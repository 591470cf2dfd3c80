/** Where a cache is between two versions of its engine, in few words. */
import type { MaintenanceView } from '../../control/service.ts';

export function wayBack(upgrade: MaintenanceView['upgrade'] | undefined): string {
  if (upgrade === null || upgrade === undefined) return '-';
  const { phase, from, to, until } = upgrade;
  if (phase === 'upgrading') return `open to ${from} while it goes to ${to}`;
  if (phase === 'returning') return `going back to ${from}`;
  if (phase === 'returned') return `gone back to ${from}`;
  return `open to ${from} until ${new Date(until ?? 0).toISOString().slice(0, 16)}Z`;
}
