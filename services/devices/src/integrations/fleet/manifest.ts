import type { Manifest } from '../manifest.js'

/** Its devices come and go with the machines of the scheduler, so nobody adds or deletes them here. */
export const manifest: Manifest = {
  id: 'fleet',
  name: 'Fleet',
  description: 'The machines of the fleet, as the scheduler knows them',
  entities: []
}
