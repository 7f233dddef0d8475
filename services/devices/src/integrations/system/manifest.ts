import type { Manifest } from '../manifest.js'

/** What people make themselves: custom entities, and the services that start workflows. */
export const manifest: Manifest = {
  id: 'system',
  name: 'System',
  description: 'Custom entities',
  isHidden: true,
  entities: []
}
