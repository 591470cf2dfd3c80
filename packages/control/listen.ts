/**
 * Addresses to listen on. A wildcard has the addresses of its family: the kernel refuses the same
 * port on one of them, so they are left to it. IPv4 first: a machine without IPv6 is common, and the
 * first address is the one that must work.
 */
export function distinctHosts(hosts: readonly string[]): string[] {
  const covered = (host: string) =>
    host.includes(':')
      ? host !== '::' && hosts.includes('::')
      : host !== '0.0.0.0' && hosts.includes('0.0.0.0');
  const left = [...new Set(hosts)].filter((host) => !covered(host));
  return [
    ...left.filter((host) => !host.includes(':')),
    ...left.filter((host) => host.includes(':')),
  ];
}
