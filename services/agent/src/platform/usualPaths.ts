import { win32 } from 'node:path'

/** Where the configuration and the state are unless told otherwise. */
export function usualPaths(
  platform: string = process.platform,
  env: NodeJS.ProcessEnv = process.env
): { config: string; state: string } {
  if (platform !== 'win32') return { config: '/etc/fleetgate/agent.json', state: '/var/lib/fleetgate' }
  // Not below C:\etc: there everybody may make folders, and so a configuration.
  const base = win32.join(env.PROGRAMDATA ?? 'C:\\ProgramData', 'Fleetgate')
  return { config: win32.join(base, 'agent.json'), state: win32.join(base, 'state') }
}
